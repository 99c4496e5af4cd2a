//! Values <-> bytes for the structures that may grow (format-spec, "Encoding").
//!
//! Integers are little-endian and of fixed width, a choice is a `u32`, a list is a `u32` count and its
//! items. Every length has a bound in its type, and nothing is allocated because an input asks for it.
//! One value has one encoding: whatever `decode` accepts, `encode` gives back byte for byte.
//!
//! bincode is named here and nowhere else: it is unmaintained, the spec spells the bytes, and so it can
//! be replaced without a change to the format.

use std::ops::Deref;

use bincode::de::read::Reader;
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
pub use bincode::{BorrowDecode, Decode, Encode};

use crate::id::{ID_LEN, Id};

/// Bytes that do not obey the spec; says what is wrong with which structure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Malformed {
    /// The structure, in the spec's word.
    pub what: &'static str,
    /// The rule that it breaks.
    pub why: String,
    /// It is not broken: a newer keepstone wrote it.
    pub newer: bool,
}

impl Malformed {
    /// `what` breaks a rule, in words `why`.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Malformed { what, why: why.into(), newer: false }
    }

    /// `what` is of a kind that this version does not know.
    pub fn newer(what: &'static str, why: impl Into<String>) -> Self {
        Malformed { what, why: why.into(), newer: true }
    }
}

/// A structure with one encoding.
pub trait Structure: Encode + Decode<()> + Sized {
    /// Its name in the spec and in messages.
    const WHAT: &'static str;

    /// Rules that reach across fields; checked after decoding, and by debug builds before encoding.
    fn obey(&self) -> Result<(), Malformed> {
        Ok(())
    }

    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8> {
        debug_assert_eq!(self.obey(), Ok(()));
        bincode::encode_to_vec(self, config()).expect("writing to memory fails for no bounded value")
    }

    /// The value that `bytes` encode, all of them.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (value, used) = bincode::decode_from_slice::<Self, _>(bytes, config())
            .map_err(|error| Malformed::new(Self::WHAT, describe(&error)))?;
        if used != bytes.len() {
            return Err(Malformed::new(Self::WHAT, "bytes after its end"));
        }
        value.obey()?;
        Ok(value)
    }
}

/// Appends the bytes of `value`, for what is encoded piece by piece.
pub fn append(value: &impl Encode, bytes: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, bytes, config()).expect("writing to memory fails for no bounded value");
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding()
}

fn describe(error: &DecodeError) -> String {
    match error {
        DecodeError::UnexpectedEnd { .. } => "ends too early".into(),
        DecodeError::OtherString(why) => why.clone(),
        DecodeError::Other(why) => (*why).into(),
        DecodeError::UnexpectedVariant { found, .. } => format!("unknown choice {found}"),
        DecodeError::Utf8 { .. } => "text is not UTF-8".into(),
        other => format!("{other:?}"),
    }
}

impl<T> Encode for Id<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encoder.writer().write(self.as_bytes())
    }
}
impl<T, C> Decode<C> for Id<T> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let mut bytes = [0; ID_LEN];
        decoder.claim_bytes_read(ID_LEN)?;
        decoder.reader().read(&mut bytes)?;
        Ok(Id::from_bytes(bytes))
    }
}

/// A derived `Decode` asks its fields for a borrowing one as well; ours own what they hold.
macro_rules! borrow_as_owned {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<'de, C, $($generics)*> BorrowDecode<'de, C> for $type {
            fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                <Self as Decode<C>>::decode(decoder)
            }
        }
    )*};
}
borrow_as_owned! {
    [T] Id<T>;
    [const MAX: usize] Bytes<MAX>;
    [const MAX: usize] Text<MAX>;
    [T: Decode<C>, const MAX: usize] List<T, MAX>;
    [T: Decode<C> + Keyed, const MAX: usize] Ascending<T, MAX>;
}

fn write_len<E: Encoder>(len: usize, encoder: &mut E) -> Result<(), EncodeError> {
    let len = u32::try_from(len).map_err(|_| EncodeError::Other("longer than its bound"))?;
    Encode::encode(&len, encoder)
}

fn read_len<C, D: Decoder<Context = C>>(max: usize, decoder: &mut D) -> Result<usize, DecodeError> {
    let len: u32 = Decode::decode(decoder)?;
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(len),
        _ => Err(DecodeError::OtherString(format!("length {len} is over the limit of {max}"))),
    }
}

/// Longer than the bound of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} is over the limit of {max}")]
pub struct TooLong {
    /// What was offered.
    pub len: usize,
    /// What the field takes.
    pub max: usize,
}

/// At most `MAX` bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// These bytes, if they fit.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TooLong> {
        let bytes = bytes.into();
        match bytes.len() {
            len if len <= MAX => Ok(Bytes(bytes)),
            len => Err(TooLong { len, max: MAX }),
        }
    }

    /// The bytes themselves.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}
impl<const MAX: usize> Deref for Bytes<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl<const MAX: usize> Encode for Bytes<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write_len(self.0.len(), encoder)?;
        encoder.writer().write(&self.0)
    }
}
impl<const MAX: usize, C> Decode<C> for Bytes<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let len = read_len(MAX, decoder)?;
        decoder.claim_bytes_read(len)?;
        // The bound is asked of what is there, not only of what is claimed.
        if let Some(rest) = decoder.reader().peek_read(len) {
            let bytes = rest.to_vec();
            decoder.reader().consume(len);
            return Ok(Bytes(bytes));
        }
        Err(DecodeError::UnexpectedEnd { additional: len })
    }
}

/// UTF-8 text of at most `MAX` bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// This text, if it fits.
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        match text.len() {
            len if len <= MAX => Ok(Text(text)),
            len => Err(TooLong { len, max: MAX }),
        }
    }

    /// As much of this text as fits, cut between characters.
    pub fn truncated(text: &str) -> Self {
        let end = (0..=MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
        Text(text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned())
    }
}
impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl<const MAX: usize> Encode for Text<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write_len(self.0.len(), encoder)?;
        encoder.writer().write(self.0.as_bytes())
    }
}
impl<const MAX: usize, C> Decode<C> for Text<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = Bytes::<MAX>::decode(decoder)?;
        let text = String::from_utf8(bytes.0);
        text.map(Text).map_err(|_| DecodeError::OtherString("text is not UTF-8".into()))
    }
}

/// At most `MAX` items, in the order that the writer gave them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// These items, if they fit.
    pub fn new(items: Vec<T>) -> Result<Self, TooLong> {
        match items.len() {
            len if len <= MAX => Ok(List(items)),
            len => Err(TooLong { len, max: MAX }),
        }
    }

    /// The items themselves.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}
impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        List(Vec::new())
    }
}
impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}
impl<T: Encode, const MAX: usize> Encode for List<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write_len(self.0.len(), encoder)?;
        self.0.iter().try_for_each(|item| item.encode(encoder))
    }
}
impl<T: Decode<C>, const MAX: usize, C> Decode<C> for List<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let len = read_len(MAX, decoder)?;
        // Grows with what is there: a count alone reserves next to nothing.
        let mut items = Vec::with_capacity(len.min(16));
        for _ in 0..len {
            items.push(T::decode(decoder)?);
        }
        Ok(List(items))
    }
}

/// Something that a list can be sorted by.
pub trait Keyed {
    /// What no two items of a list share.
    type Key: Ord;
    /// This item's.
    fn key(&self) -> &Self::Key;
}
impl<T> Keyed for Id<T> {
    type Key = Id<T>;
    fn key(&self) -> &Id<T> {
        self
    }
}
impl Keyed for u32 {
    type Key = u32;
    fn key(&self) -> &u32 {
        self
    }
}
impl<const MAX: usize> Keyed for Text<MAX> {
    type Key = Text<MAX>;
    fn key(&self) -> &Text<MAX> {
        self
    }
}

/// At most `MAX` items, strictly ascending by key: a set has one encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ascending<T, const MAX: usize>(List<T, MAX>);

impl<T: Keyed, const MAX: usize> Ascending<T, MAX> {
    /// These items, sorted; of items with one key the first is kept.
    pub fn new(mut items: Vec<T>) -> Result<Self, TooLong> {
        items.sort_by(|a, b| a.key().cmp(b.key()));
        items.dedup_by(|b, a| a.key() == b.key());
        List::new(items).map(Ascending)
    }

    /// The item with this key.
    pub fn find(&self, key: &T::Key) -> Option<&T> {
        let at = self.0.binary_search_by(|item| item.key().cmp(key)).ok()?;
        self.0.get(at)
    }
}
impl<T, const MAX: usize> Ascending<T, MAX> {
    /// The items themselves, in order.
    pub fn into_vec(self) -> Vec<T> {
        self.0.into_vec()
    }
}
impl<T, const MAX: usize> Default for Ascending<T, MAX> {
    fn default() -> Self {
        Ascending(List::default())
    }
}
impl<T, const MAX: usize> Deref for Ascending<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}
impl<T: Encode, const MAX: usize> Encode for Ascending<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        Encode::encode(&self.0, encoder)
    }
}
impl<T: Decode<C> + Keyed, const MAX: usize, C> Decode<C> for Ascending<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let items = List::<T, MAX>::decode(decoder)?;
        if !items.0.is_sorted_by(|a: &T, b: &T| a.key() < b.key()) {
            return Err(DecodeError::Other("a sorted list is not strictly ascending"));
        }
        Ok(Ascending(items))
    }
}
