use std::time::Instant;

use super::*;

const NOW: Time = Time { secs: 1_700_000_000, nanos: 5 };
static GO_ON: AtomicBool = AtomicBool::new(false);

fn shell(script: &str) -> StreamSource {
    let arguments = ["-c", script].map(OsString::from).to_vec();
    StreamSource::command(Path::new("dump.sql"), NOW, "sh", arguments, &GO_ON).unwrap()
}

fn the_file(source: &StreamSource) -> Found<usize> {
    let mut place = source.root();
    loop {
        let found = source.list(&place).unwrap().next().unwrap().unwrap();
        match found.kind {
            Kind::Directory => place = found.place,
            _ => return found,
        }
    }
}

fn read_all(source: &StreamSource) -> io::Result<Vec<u8>> {
    let mut reading = source.open(&the_file(source)).map_err(|trouble| io::Error::other(trouble.to_string()))?;
    assert_eq!(reading.next_extent()?, Some(Extent::Data(None)));
    let (mut bytes, mut buffer) = (Vec::new(), [0; 7]);
    loop {
        match reading.read(&mut buffer)? {
            0 => break,
            got => bytes.extend_from_slice(&buffer[..got]),
        }
    }
    assert_eq!(reading.next_extent()?, None);
    reading.finish().unwrap();
    Ok(bytes)
}

#[test]
fn a_stream_is_one_file_below_directories_of_its_own() {
    let reader = Box::new(&b"what was piped in"[..]);
    let source = StreamSource::reader(Path::new("/db/./nightly//dump.sql"), NOW, reader).unwrap();
    let mut place = source.root();
    let mut seen = Vec::new();
    while let Some(found) = source.list(&place).unwrap().next() {
        let found = found.unwrap();
        assert_eq!(found.stat.mtime, NOW);
        seen.push((String::from_utf8_lossy(&found.key.name).into_owned(), found.kind, found.stat.mode));
        place = found.place;
    }
    let directory = |name: &str| (name.to_owned(), Kind::Directory, 0o755);
    assert_eq!(seen[..2], [directory("db"), directory("nightly")]);
    assert_eq!(seen[2..], [("dump.sql".to_owned(), Kind::File { size: None }, 0o644)]);
    assert_eq!(read_all(&source).unwrap(), b"what was piped in");
    assert_eq!(source.on_trouble(), OnTrouble::Stop);
    let again = read_all(&source).unwrap_err().to_string();
    assert!(again.contains("db/nightly/dump.sql: a stream can be read only once"), "{again}");
}

#[test]
fn paths_that_name_no_file_are_refused() {
    for path in ["", "/", ".", "a/../b", "dir/"] {
        let refused = StreamSource::reader(Path::new(path), NOW, Box::new(io::empty())).err();
        assert_eq!(refused.map(|bad| bad.path), Some(path.to_owned()));
    }
}

#[test]
fn a_command_gives_its_output() {
    assert_eq!(read_all(&shell("echo noise >&2; printf 'one two three'; cat")).unwrap(), b"one two three");
}

#[test]
fn a_failed_command_tells_its_status_and_its_last_words() {
    let error = read_all(&shell("printf half; seq 1000 >&2; echo no space >&2; exit 7")).unwrap_err().to_string();
    assert!(error.starts_with("sh ended with exit status 7:\n992\n"), "{error}");
    assert!(error.ends_with("\n1000\nno space"), "{error}");
    let error = read_all(&shell("kill -9 $$")).unwrap_err().to_string();
    assert_eq!(error, "sh was killed by signal 9 and said nothing");
}

#[test]
fn a_command_that_cannot_be_run_is_named() {
    let source = StreamSource::command(Path::new("x"), NOW, "/no/such/program", Vec::new(), &GO_ON).unwrap();
    let error = read_all(&source).unwrap_err().to_string();
    assert!(error.contains("/no/such/program cannot be run: No such file"), "{error}");
}

#[test]
fn what_a_command_leaves_running_does_not_hold_its_failure_back() {
    let begun = Instant::now();
    let error = read_all(&shell("sleep 30 >/dev/null & echo why >&2; exit 3")).unwrap_err().to_string();
    assert_eq!(error, "sh ended with exit status 3:\nwhy");
    assert!(begun.elapsed().as_secs() < 20);
}

#[test]
fn a_reading_that_is_dropped_ends_its_command() {
    let begun = Instant::now();
    let source = shell("echo begun; exec sleep 30");
    let mut reading = source.open(&the_file(&source)).unwrap();
    reading.next_extent().unwrap();
    reading.read(&mut [0; 5]).unwrap();
    drop(reading);
    assert!(begun.elapsed().as_secs() < 20);
}

#[test]
fn a_silent_command_is_not_waited_for_when_it_is_to_stop() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let arguments = ["-c", "echo begun; exec sleep 1000"].map(OsString::from).to_vec();
    let source = StreamSource::command(Path::new("dump.sql"), NOW, "sh", arguments, &STOP).unwrap();
    let mut reading = source.open(&the_file(&source)).unwrap();
    let mut buffer = [0; 100];

    assert_eq!(reading.read(&mut buffer).unwrap(), 6);
    STOP.store(true, std::sync::atomic::Ordering::SeqCst);

    assert_eq!(reading.read(&mut buffer).unwrap_err().to_string(), "interrupted");
}
