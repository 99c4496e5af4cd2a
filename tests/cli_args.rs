//! The command line as a shell meets it: exit codes, messages, and no waiting for anybody.

use std::io::Write;
use std::process::Command as Process;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty, starts_with};

/// keepstone in an empty environment: nothing of the machine that tests run on counts.
fn keepstone() -> Command {
    let mut command = Command::cargo_bin("keepstone").unwrap();
    command.env_clear().timeout(Duration::from_secs(60));
    command
}

#[test]
fn a_bad_value_is_exit_2_and_lists_the_valid_ones() {
    let cases: [(&[&str], &str); 8] = [
        (&["backup", "--exclude-larger-than", "big", "/x"], "5G, 100 MiB"),
        (&["backup", "--time", "yesterday", "/x"], "2026-07-31"),
        (&["backup", "--compression", "zip", "/x"], "none, fast, default, max"),
        (&["restore", "newest", "-t", "/x"], "latest, latest~N"),
        (&["restore", "latest", "-t", "/x", "--overwrite", "sometimes"], "always, if-changed, if-newer, never"),
        (&["check", "--read-data-subset", "8/7"], "n/t"),
        (&["-r", "ftp://host/x", "snapshots"], "s3://, azblob://"),
        (&["completions", "tcsh"], "bash"),
    ];
    for (words, choices) in cases {
        let right = starts_with("keepstone: ").and(contains(choices));
        keepstone().args(words).assert().code(2).stdout(is_empty()).stderr(right);
    }
}

#[test]
fn a_bad_variable_is_exit_2_and_named() {
    let cases = [
        ("KEEPSTONE_COMPRESSION", "zip"),
        ("KEEPSTONE_PACK_SIZE", "huge"),
        ("KEEPSTONE_PROGRESS_FPS", "0"),
        ("KEEPSTONE_LOG", "loud"),
        ("KEEPSTONE_REPOSITORY", "ftp://host"),
    ];
    for (name, value) in cases {
        keepstone().env(name, value).arg("version").assert().code(2).stderr(contains(name).and(contains(value)));
    }
}

#[test]
fn with_json_an_error_is_one_object_on_stderr() {
    let output = keepstone().args(["check", "--json", "--read-data-subset", "x"]).assert().code(2).get_output().clone();
    let text = String::from_utf8(output.stderr).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((text.lines().count(), &object["message_type"], &object["code"]), (1, &"exit_error".into(), &2.into()));
    assert!(object["message"].as_str().unwrap().contains("n/t"));
}

#[test]
fn help_is_a_result_and_a_missing_command_is_not() {
    keepstone().arg("--help").assert().success().stdout(contains("backup").and(contains("--password-file")));
    keepstone().args(["backup", "--help"]).assert().success().stdout(contains("EXAMPLES"));
    keepstone().args(["restore", "--help"]).assert().success().stdout(contains("EXAMPLES"));
    keepstone().assert().code(2).stdout(is_empty()).stderr(contains("Usage"));
    keepstone().arg("--version").assert().success().stdout(starts_with("keepstone "));
}

#[test]
fn no_command_waits_for_a_person_when_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("repository");
    let lines = [
        "init",
        "backup /nonexistent",
        "backup --stdin",
        "restore latest -t target",
        "dump latest /x",
        "snapshots",
        "ls latest",
        "find x",
        "diff latest~1 latest",
        "stats",
        "cat config",
        "check",
        "key add",
        "key list",
        "key remove 4f",
        "key passwd",
        "fingerprint",
        "cache list",
    ];
    for line in lines {
        let mut command = keepstone();
        command.current_dir(directory.path()).env("HOME", directory.path()).env("KEEPSTONE_REPOSITORY", &place);
        let output = command.args(line.split_whitespace()).write_stdin("").output().unwrap();
        assert!(output.status.code().is_some(), "{line} had to be stopped");
    }
}

#[test]
fn a_reader_that_goes_away_ends_us_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut process = Process::new(assert_cmd::cargo::cargo_bin("keepstone"));
    let output = process.args(["completions", "bash"]).env_clear().stdout(writer).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(141), ""));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Process::new(assert_cmd::cargo::cargo_bin("keepstone"))
        .arg("version")
        .env_clear()
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("No space left"));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        keepstone().args(["completions", shell]).assert().success().stdout(contains("snapshots"));
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man1");
    keepstone().arg("man").arg(&pages).assert().success().stdout(is_empty());
    for page in ["keepstone.1", "keepstone-backup.1", "keepstone-key-passwd.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
    let mut file = std::fs::File::create(directory.path().join("file")).unwrap();
    file.write_all(b"x").unwrap();
    keepstone().arg("man").arg(directory.path().join("file")).assert().code(1).stderr(contains("manual pages"));
}
