//! S3 servers that live in this process: one holds what it is given, one invents millions of objects. They speak as much
//! of S3 as reading a bucket takes, count what they are asked, and do not check signatures (moto and Ceph do).

#![allow(dead_code)] // Each user takes its part of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// An object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
    pub size: u64,
}

/// What is in a bucket.
pub trait Bucket: Send + Sync + 'static {
    /// The objects after `after` whose keys begin with `prefix`, at most so many, in order.
    fn list(&self, prefix: &str, after: &str, most: usize) -> Vec<Object>;
    /// The object of that key.
    fn head(&self, key: &str) -> Option<Object>;
    /// So much of its content; `None` if it is another one by now.
    fn read(&self, object: &Object, range: Range<u64>) -> Option<Vec<u8>>;
}

/// A request, as far as faults and counts want to know.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Decoded; empty for the bucket.
    pub key: String,
    pub query: String,
}

/// What is done instead of an answer.
pub enum Instead {
    /// This status, with this code in the body.
    Refuse(u16, &'static str),
    /// The answer is cut in the middle of its body.
    Cut,
    /// Half of the answer, which does not say how long it is.
    Half,
    /// Nothing, for ever.
    Hang,
}

type Fault = Box<dyn Fn(&Asked) -> Option<Instead> + Send + Sync>;

/// A running server; it listens until the process ends.
#[derive(Clone)]
pub struct BucketServer(Arc<Shared>);

struct Shared {
    port: u16,
    bucket: Arc<dyn Bucket>,
    fault: RwLock<Option<Fault>>,
    /// What a page of a listing takes.
    page_time: Duration,
    lists: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    knows_ranges: AtomicBool,
}

impl BucketServer {
    /// Serves `bucket` under any name.
    pub fn start(bucket: Arc<dyn Bucket>, page_time: Duration) -> BucketServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            port: listener.local_addr().unwrap().port(),
            bucket,
            fault: RwLock::default(),
            page_time,
            lists: AtomicU64::new(0),
            gets: AtomicU64::new(0),
            heads: AtomicU64::new(0),
            knows_ranges: AtomicBool::new(true),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        BucketServer(shared)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    /// Listings, gets and heads since this was last asked.
    pub fn take_counts(&self) -> (u64, u64, u64) {
        (self.0.lists.swap(0, Relaxed), self.0.gets.swap(0, Relaxed), self.0.heads.swap(0, Relaxed))
    }

    /// From now on, what `fault` gives is done instead of answering.
    pub fn fault(&self, fault: impl Fn(&Asked) -> Option<Instead> + Send + Sync + 'static) {
        *self.0.fault.write().unwrap() = Some(Box::new(fault));
    }

    /// From now on, requests for a part are answered by the whole.
    pub fn forget_ranges(&self) {
        self.0.knows_ranges.store(false, Relaxed);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some((asked, headers)) = read_request(&mut reader) {
            if !self.answer(&mut stream, &asked, &headers).unwrap_or(false) {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    fn answer(
        &self,
        stream: &mut TcpStream,
        asked: &Asked,
        headers: &BTreeMap<String, String>,
    ) -> std::io::Result<bool> {
        let counter = match (&*asked.method, asked.key.is_empty()) {
            ("GET", true) => &self.lists,
            ("HEAD", _) => &self.heads,
            _ => &self.gets,
        };
        counter.fetch_add(1, Relaxed);
        let fault = self.fault.read().unwrap().as_ref().and_then(|fault| fault(asked));
        if let Some(Instead::Hang) = fault {
            std::thread::sleep(Duration::from_secs(3600));
        }
        if let Some(Instead::Refuse(status, code)) = fault {
            send(stream, status, "", format!("<Error><Code>{code}</Code></Error>").as_bytes(), asked)?;
            return Ok(true);
        }
        let (status, head, body) = match asked.key.is_empty() {
            true => (200, String::new(), self.page(&asked.query).into_bytes()),
            false => self.object(asked, headers),
        };
        if matches!(fault, Some(Instead::Half)) {
            write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n{head}\r\n")?;
            stream.write_all(&body[..body.len() / 2])?;
            return Ok(false);
        }
        if matches!(fault, Some(Instead::Cut)) {
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{head}\r\n", body.len())?;
            stream.write_all(&body[..body.len() / 2])?;
            return Ok(false);
        }
        send(stream, status, &head, &body, asked)?;
        Ok(true)
    }

    fn object(&self, asked: &Asked, headers: &BTreeMap<String, String>) -> (u16, String, Vec<u8>) {
        loop {
            if let Some(answer) = self.object_now(asked, headers) {
                return answer;
            }
        }
    }

    /// `None` if it is replaced meanwhile.
    fn object_now(&self, asked: &Asked, headers: &BTreeMap<String, String>) -> Option<(u16, String, Vec<u8>)> {
        let Some(object) = self.bucket.head(&asked.key) else {
            return Some((404, String::new(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec()));
        };
        if headers.get("if-match").is_some_and(|etag| etag.trim_matches('"') != object.etag) {
            return Some((412, String::new(), b"<Error><Code>PreconditionFailed</Code></Error>".to_vec()));
        }
        let mut head =
            format!("ETag: \"{}\"\r\nContent-Type: text/plain\r\nx-amz-meta-of: {}\r\n", object.etag, object.size);
        let _ = write!(head, "Last-Modified: {}\r\n", http_date(object.modified));
        if asked.method == "HEAD" {
            let _ = write!(head, "Content-Length: {}\r\n", object.size);
            return Some((200, head, Vec::new()));
        }
        let range = headers.get("range").filter(|_| self.knows_ranges.load(Relaxed));
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        Some(match range.and_then(|(begin, end)| Some((begin.parse().ok()?, end.parse::<u64>().ok()? + 1))) {
            Some((begin, end)) if end <= object.size && begin < end => {
                let _ = write!(head, "Content-Range: bytes {begin}-{}/{}\r\n", end - 1, object.size);
                (206, head, self.bucket.read(&object, begin..end)?)
            }
            Some(_) => (416, head, Vec::new()),
            None => (200, head, self.bucket.read(&object, 0..object.size)?),
        })
    }

    fn page(&self, query: &str) -> String {
        std::thread::sleep(self.page_time);
        let value = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(decode).unwrap_or_default()
        };
        let most: usize = value("max-keys").parse().unwrap_or(1000);
        let token = value("continuation-token");
        let after = if token.is_empty() { value("start-after") } else { decode(&token) };
        let objects = self.bucket.list(&value("prefix"), &after, most);
        let mut page = String::with_capacity(300 * objects.len() + 500);
        page.push_str("<?xml version=\"1.0\"?><ListBucketResult><EncodingType>url</EncodingType>");
        if objects.len() == most {
            let next = encode(&objects[objects.len() - 1].key);
            let _ =
                write!(page, "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>");
        } else {
            page.push_str("<IsTruncated>false</IsTruncated>");
        }
        for Object { key, etag, modified, size } in &objects {
            let key = encode(key);
            let date = iso_date(*modified);
            let _ = write!(
                page,
                "<Contents><Key>{key}</Key><LastModified>{date}</LastModified><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            );
        }
        page.push_str("</ListBucketResult>");
        page
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(Asked, BTreeMap<String, String>)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    reader.take(len).read_to_end(&mut Vec::new()).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let key = path.strip_prefix('/')?.split_once('/').map(|(_, key)| decode(key)).unwrap_or_default();
    Some((Asked { method, key, query: query.to_owned() }, headers))
}

fn send(stream: &mut TcpStream, status: u16, head: &str, body: &[u8], asked: &Asked) -> std::io::Result<()> {
    let len = if asked.method == "HEAD" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let mut answer = format!("HTTP/1.1 {status} X\r\n{len}{head}\r\n").into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer)
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => encoded.push(byte as char),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(u8::from_str_radix(str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn iso_date(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).unwrap().to_string()
}

fn http_date(secs: i64) -> String {
    let zoned = jiff::Timestamp::from_second(secs).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    zoned.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A bucket that holds what it is given.
#[derive(Default)]
pub struct Held(Mutex<BTreeMap<String, (Object, Vec<u8>)>>);

impl Held {
    /// Puts an object; what it was modified at is given.
    pub fn put(&self, key: &str, content: &[u8], modified: i64) {
        let etag = blake3::hash(content).to_hex()[..32].to_owned();
        let object = Object { key: key.to_owned(), etag, modified, size: content.len() as u64 };
        self.0.lock().unwrap().insert(key.to_owned(), (object, content.to_vec()));
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        self.0.lock().unwrap().remove(key);
    }
}

impl Bucket for Held {
    fn list(&self, prefix: &str, after: &str, most: usize) -> Vec<Object> {
        let objects = self.0.lock().unwrap();
        let found = objects.values().filter(|(object, _)| object.key.starts_with(prefix) && *object.key > *after);
        found.take(most).map(|(object, _)| object.clone()).collect()
    }

    fn head(&self, key: &str) -> Option<Object> {
        self.0.lock().unwrap().get(key).map(|(object, _)| object.clone())
    }

    fn read(&self, object: &Object, range: Range<u64>) -> Option<Vec<u8>> {
        let objects = self.0.lock().unwrap();
        let (now, content) = objects.get(&object.key)?;
        (now == object).then(|| content[range.start as usize..range.end as usize].to_vec())
    }
}

/// After so many bytes, more or less, a large invented object repeats itself.
const PERIOD: u64 = 1 << 29;

/// A bucket of invented objects, all alike but for their content, which never changes; each night one in a
/// thousand is another.
pub struct Invented {
    pub count: u64,
    pub night: AtomicU64,
    /// Bytes of each.
    pub size: u64,
}

impl Invented {
    fn object(&self, number: u64) -> Object {
        let night = self.night.load(Relaxed);
        let changed = if number % 1000 == 7 { night } else { 0 };
        Object {
            key: Self::key(number),
            etag: format!("{number:016x}{changed:016x}"),
            modified: 1_700_000_000 + i64::try_from(changed).unwrap() * 86_400,
            size: self.size,
        }
    }

    fn key(number: u64) -> String {
        format!("documents/{:05}/{:09}.pdf", number / 5000, number)
    }

    fn number(key: &str) -> Option<u64> {
        key.rsplit('/').next()?.strip_suffix(".pdf")?.parse().ok()
    }
}

impl Bucket for Invented {
    fn list(&self, _: &str, after: &str, most: usize) -> Vec<Object> {
        let begin = if after.is_empty() { 0 } else { Self::number(after).unwrap() + 1 };
        (begin..self.count.min(begin + most as u64)).map(|number| self.object(number)).collect()
    }

    fn head(&self, key: &str) -> Option<Object> {
        let number = Self::number(key).filter(|number| *number < self.count && Self::key(*number) == *key)?;
        Some(self.object(number))
    }

    fn read(&self, object: &Object, range: Range<u64>) -> Option<Vec<u8>> {
        let mut content = vec![0; (range.end - range.start) as usize];
        let mut stream = blake3::Hasher::new().update(object.etag.as_bytes()).finalize_xof();
        let mut position = range.start;
        for piece in content.chunks_mut(1 << 20) {
            stream.set_position(position % PERIOD);
            stream.fill(piece);
            position += piece.len() as u64;
        }
        Some(content)
    }
}
