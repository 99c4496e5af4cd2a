//! A way to a server that fails on purpose, and counts what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It works.
    Pass,
    /// After so many bytes from the server, it is closed.
    CutDown(u64),
    /// After so many bytes to the server it is closed; so many connections, and no more.
    CutFirstUp { after: u64, times: u64 },
    /// After so many bytes to the server one bit is flipped; on so many connections, and no more.
    FlipFirstUp { after: u64, times: u64 },
    /// After so many bytes from the server, one bit is flipped.
    Flip(u64),
    /// After so many bytes from the server, nothing moves any more.
    Stall(u64),
    /// Everything comes late.
    Delay(Duration),
}

type Script = Box<dyn FnMut(u64) -> Fate + Send>;

/// Listens on a port of its own, until the process ends.
pub struct Proxy {
    pub port: u16,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    requests: Mutex<Vec<String>>,
    down: AtomicU64,
    up: AtomicU64,
    connections: AtomicU64,
    faults: AtomicU64,
    closed: AtomicBool,
    /// What every request is answered with, in place of the server.
    answer: Mutex<Option<String>>,
    answered: AtomicU64,
}

impl Proxy {
    /// To the server on `port`, where nothing fails.
    pub fn to(port: u16) -> Self {
        Proxy::failing(port, |_| Fate::Pass)
    }

    /// The `n`th connection, counted from 0, has the fate that `script` says.
    pub fn failing(port: u16, script: impl FnMut(u64) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy { port: listener.local_addr().unwrap().port(), log: Arc::default() };
        let log = Arc::clone(&proxy.log);
        let mut script: Script = Box::new(script);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                if log.closed.load(Ordering::SeqCst) {
                    continue;
                }
                let answer = log.answer.lock().unwrap().clone();
                if let Some(answer) = answer {
                    let log = Arc::clone(&log);
                    std::thread::spawn(move || give(client, &answer, &log));
                    continue;
                }
                let fate = script(log.connections.fetch_add(1, Ordering::SeqCst));
                connect(client, port, fate, &log);
            }
        });
        proxy
    }

    /// The first lines of all HTTP requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.log.requests.lock().unwrap().clone()
    }

    /// Bytes that came from the server.
    pub fn down(&self) -> u64 {
        self.log.down.load(Ordering::SeqCst)
    }

    /// Bytes that went to the server.
    pub fn up(&self) -> u64 {
        self.log.up.load(Ordering::SeqCst)
    }

    /// Whether so many bytes have gone to the server.
    pub fn has_passed(&self, bytes: u64) -> bool {
        self.up() >= bytes
    }

    /// How often something was made to fail.
    pub fn faults(&self) -> u64 {
        self.log.faults.load(Ordering::SeqCst)
    }

    /// Counts anew.
    pub fn reset(&self) {
        self.log.requests.lock().unwrap().clear();
        self.log.down.store(0, Ordering::SeqCst);
    }

    /// From now on every request gets this answer, or the server's own again.
    pub fn answer(&self, answer: Option<&str>) {
        *self.log.answer.lock().unwrap() = answer.map(str::to_owned);
    }

    /// How many requests got it.
    pub fn answered(&self) -> u64 {
        self.log.answered.load(Ordering::SeqCst)
    }

    /// From now on every connection is closed at once, or no longer.
    pub fn close(&self, closed: bool) {
        self.log.closed.store(closed, Ordering::SeqCst);
    }
}

/// Reads one request, and answers it.
fn give(mut client: TcpStream, answer: &str, log: &Log) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let len = head.split_once("content-length:").and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
    let _ = std::io::copy(&mut (&client).take(len.unwrap_or(0)), &mut std::io::sink());
    log.answered.fetch_add(1, Ordering::SeqCst);
    let _ = client.write_all(answer.as_bytes());
}

fn connect(client: TcpStream, port: u16, fate: Fate, log: &Arc<Log>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (up, down) = (Arc::clone(log), Arc::clone(log));
    std::thread::spawn(move || pump(client, server, |at, piece| up.goes_up(fate, at, piece)));
    std::thread::spawn(move || pump(server_too, client_too, |at, piece| down.comes_down(fate, at, piece)));
}

/// Copies until either side ends, or `each` says that it is over. A reset is what a broken network looks like.
fn pump(mut from: TcpStream, mut to: TcpStream, mut each: impl FnMut(u64, &mut [u8]) -> bool) {
    let (mut buffer, mut at) = (vec![0; 1 << 14], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let goes_on = each(at, &mut buffer[..read]);
        at += read as u64;
        if !goes_on || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl Log {
    fn goes_up(&self, fate: Fate, at: u64, piece: &mut [u8]) -> bool {
        self.up.fetch_add(piece.len() as u64, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) || self.answer.lock().unwrap().is_some() {
            return false;
        }
        let methods = ["GET ", "PUT ", "POST ", "DELETE ", "HEAD ", "PROPFIND "];
        let line = piece.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned();
        if methods.iter().any(|method| line.starts_with(method)) && line.ends_with(" HTTP/1.1") {
            self.requests.lock().unwrap().push(line);
        }
        let end = at + piece.len() as u64;
        match fate {
            Fate::CutFirstUp { after, times } if end > after && self.faults.load(Ordering::SeqCst) < times => {
                self.fault(false)
            }
            Fate::FlipFirstUp { after, times }
                if at <= after && end > after && self.faults.load(Ordering::SeqCst) < times =>
            {
                piece[(after - at) as usize] ^= 1;
                self.fault(true)
            }
            Fate::Delay(time) => {
                std::thread::sleep(time);
                true
            }
            _ => true,
        }
    }

    fn comes_down(&self, fate: Fate, at: u64, piece: &mut [u8]) -> bool {
        self.down.fetch_add(piece.len() as u64, Ordering::SeqCst);
        let end = at + piece.len() as u64;
        match fate {
            Fate::CutDown(after) if end > after => self.fault(false),
            Fate::Flip(after) if at <= after && end > after => {
                piece[(after - at) as usize] ^= 1;
                self.fault(true)
            }
            Fate::Stall(after) if end > after => {
                self.fault(true);
                loop {
                    std::thread::park();
                }
            }
            _ => true,
        }
    }

    fn fault(&self, goes_on: bool) -> bool {
        self.faults.fetch_add(1, Ordering::SeqCst);
        goes_on
    }
}
