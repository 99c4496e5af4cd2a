//! The header of a zstd frame (RFC 8878, section 3.1.1.1), as far as we must judge it before zstd does.

const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// What a frame says about itself. A claim: the frame may hold something else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// How many bytes back a match may reach, in bytes: what a streaming reader must keep.
    pub window_len: u64,
    /// The length of the plaintext in bytes, if stated.
    pub content_len: Option<u64>,
    /// Whether there is a dictionary id, be it zero.
    pub names_dictionary: bool,
}

impl Header {
    /// `None` if `stored` does not begin with a whole header of a plain zstd frame.
    pub(super) fn decode(stored: &[u8]) -> Option<Self> {
        let rest = stored.strip_prefix(&MAGIC)?;
        let (&descriptor, rest) = rest.split_first()?;
        if descriptor & 0b1000 != 0 {
            return None; // reserved by the RFC: must be zero
        }
        let one_segment = descriptor & 0b10_0000 != 0;
        let dictionary_id_width = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
        let content_len_width = match descriptor >> 6 {
            0 => usize::from(one_segment),
            flag => 1 << flag,
        };

        let (window, rest) = rest.split_at_checked(usize::from(!one_segment))?;
        let (_dictionary_id, rest) = rest.split_at_checked(dictionary_id_width)?;
        let (content_len, _blocks) = rest.split_at_checked(content_len_width)?;

        let content_len = decode_content_len(content_len);
        Some(Self {
            window_len: match window {
                [descriptor] => decode_window_len(*descriptor),
                _ => content_len?,
            },
            content_len,
            names_dictionary: dictionary_id_width > 0,
        })
    }
}

fn decode_window_len(descriptor: u8) -> u64 {
    let base = 1u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 0b111)
}

fn decode_content_len(field: &[u8]) -> Option<u64> {
    match *field {
        [byte] => Some(byte.into()),
        // The RFC's only field with an offset: shorter lengths have a shorter field.
        [low, high] => Some(u64::from(u16::from_le_bytes([low, high])) + 256),
        _ if field.is_empty() => None,
        _ => Some(field.iter().rev().fold(0, |len, &byte| len << 8 | u64::from(byte))),
    }
}
