use std::cell::RefCell;
use std::fs;
use std::time::{Duration, Instant};

use super::*;

/// Someone with answers, or nobody.
struct Person(RefCell<Vec<&'static str>>);

impl Person {
    fn with(answers: &[&'static str]) -> Self {
        Person(RefCell::new(answers.iter().rev().copied().collect()))
    }
}
impl Asked for Person {
    fn is_there(&self) -> bool {
        !self.0.borrow().is_empty()
    }
    fn ask(&self, _: &str) -> Result<Zeroizing<String>, Failure> {
        Ok(Zeroizing::new(self.0.borrow_mut().pop().expect("asked once too often").to_owned()))
    }
}

fn wanted() -> Wanted {
    Wanted { what: "password", file: None, command: None, variables: &REPOSITORY, asking: Asking::Existing }
}

fn obtain(wanted: &Wanted, variables: &[(&str, &str)], answers: &[&'static str]) -> Result<Password, Failure> {
    wanted.obtain(&Environment::of(variables), &Person::with(answers))
}

fn is(password: &str) -> Result<Password, Failure> {
    Ok(Password::new(password.as_bytes()).unwrap())
}

#[test]
fn a_password_is_the_same_however_it_was_typed() {
    let composed = Password::new("caf\u{e9}".as_bytes()).unwrap();
    for typed in ["cafe\u{301}", "caf\u{e9}\n", "caf\u{e9}\r\n"] {
        assert_eq!(Password::new(typed.as_bytes()), Ok(composed.clone()), "{typed:?}");
    }
    assert_eq!(Password::new(b" two\nlines \n\n").unwrap().as_bytes(), b" two\nlines \n");
}

#[test]
fn what_is_no_password_is_refused() {
    for (bytes, why) in [(&b""[..], BadPassword::Empty), (b"\n", BadPassword::Empty), (b"\xff", BadPassword::NotText)] {
        assert_eq!(Password::new(bytes), Err(why));
    }
    assert_eq!(Password::new(&[b'a'; PASSWORD_MAX + 1]), Err(BadPassword::TooLong));
    assert!(Password::new(&[b'a'; PASSWORD_MAX]).is_ok());
}

#[test]
fn normalising_never_moves_the_text() {
    // U+1D160 grows three times over in NFC, the most that any character does.
    let password = Password::new("\u{1d160}".repeat(100).as_bytes()).unwrap();
    assert!(password.0.capacity() >= password.0.len() && password.0.len() == 1200);
    assert_eq!(password.0.capacity(), 1200);
}

#[test]
fn no_password_shows_in_debug() {
    let password = Password::new(b"hush").unwrap();
    assert_eq!(format!("{password:?} {:?}", Some(&password)), "Password(redacted) Some(Password(redacted))");
    let environment = Environment::of(&[("KEEPSTONE_PASSWORD", "hush")]);
    assert!(!format!("{environment:?}").contains("hush"));
}

#[test]
fn sources_are_tried_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, format!("{name}\n")).unwrap();
        path
    };
    let env_file = file("env-file").display().to_string();
    let mut variables = vec![
        ("KEEPSTONE_PASSWORD_FILE", env_file.as_str()),
        ("KEEPSTONE_PASSWORD_COMMAND", "echo env-command"),
        ("KEEPSTONE_PASSWORD", "env-value"),
    ];
    let by_file = Wanted { file: Some(file("flag-file")), command: Some("echo never".into()), ..wanted() };
    assert_eq!(obtain(&by_file, &variables, &[]), is("flag-file"));
    let by_command = Wanted { command: Some("echo flag-command".into()), ..wanted() };
    assert_eq!(obtain(&by_command, &variables, &[]), is("flag-command"));
    assert_eq!(obtain(&wanted(), &variables, &[]), is("env-file"));
    variables.remove(0);
    assert_eq!(obtain(&wanted(), &variables, &[]), is("env-command"));
    variables.remove(0);
    assert_eq!(obtain(&wanted(), &variables, &["typed"]), is("env-value"));
    assert_eq!(obtain(&wanted(), &[], &["typed"]), is("typed"));
}

#[test]
fn a_new_password_is_typed_twice() {
    let new = Wanted { what: "new password", variables: &NEW, asking: Asking::New, ..wanted() };
    assert_eq!(obtain(&new, &[("KEEPSTONE_PASSWORD", "old")], &["a", "a"]), is("a"));
    assert_eq!(obtain(&new, &[("KEEPSTONE_NEW_PASSWORD", "new")], &[]), is("new"));
    assert!(obtain(&new, &[], &["a", "b"]).unwrap_err().message.contains("differ"));
    assert!(obtain(&new, &[], &["", ""]).unwrap_err().message.contains("empty"));
}

#[test]
fn without_a_terminal_the_choices_are_named() {
    let failure = obtain(&wanted(), &[], &[]).unwrap_err();
    let hint = failure.hint.unwrap();
    for choice in ["--password-file", "--password-command", "KEEPSTONE_PASSWORD_FILE", "KEEPSTONE_PASSWORD"] {
        assert!(hint.contains(choice), "{hint}");
    }
}

#[test]
fn a_command_is_split_into_words_and_met_by_no_shell() {
    let by = |line: &str| obtain(&Wanted { command: Some(line.into()), ..wanted() }, &[], &[]);
    assert_eq!(by(r#"echo 'a  b' "c d" e\ f"#), is("a  b c d e f"));
    assert_eq!(by("echo $HOME;ls"), is("$HOME;ls"));
    assert!(by("echo 'a").unwrap_err().message.contains("quote"));
    assert!(by(" ").unwrap_err().message.contains("no word"));
    assert!(by("/nonexistent/program").unwrap_err().message.contains("No such file"));
}

#[test]
fn a_failed_command_tells_its_last_words_and_never_its_output() {
    let line = "sh -c 'echo hush; echo first >&2; echo locked >&2; echo >&2; exit 3'";
    let failure = obtain(&Wanted { command: Some(line.into()), ..wanted() }, &[], &[]).unwrap_err();
    assert_eq!(failure.message, "cannot take the password from command sh: exit status: 3: locked");
}

#[test]
fn a_command_that_never_stops_printing_is_stopped() {
    let failure = obtain(&Wanted { command: Some("yes".into()), ..wanted() }, &[], &[]).unwrap_err();
    assert!(failure.message.ends_with("longer than 4096 bytes"), "{}", failure.message);
}

#[test]
fn what_a_command_leaves_running_does_not_hold_us_up() {
    let line = "sh -c 'sleep 20 >/dev/null & echo quick'";
    let start = Instant::now();
    assert_eq!(obtain(&Wanted { command: Some(line.into()), ..wanted() }, &[], &[]), is("quick"));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_missing_password_file_is_named() {
    let by = Wanted { file: Some("/nonexistent/file".into()), ..wanted() };
    let failure = obtain(&by, &[], &["typed"]).unwrap_err();
    assert!(failure.message.contains("/nonexistent/file"), "{}", failure.message);
}
