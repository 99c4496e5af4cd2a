//! Putting an object on the condition that there is none: tried out on another one first, and what is made of the answers.

use crate::answers::{Canned, NOW, xml};
use crate::servers::s3_spot;
use keepstone::storage::{ObjectName, Result, Store};

fn said(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn refused() -> String {
    xml("412 Precondition Failed", NOW, "PreconditionFailed", "")
}

/// Puts `ours` as new; also whether each put was asked for on condition.
fn put_new(answers: &[String]) -> (Result<bool>, Vec<bool>) {
    let canned = Canned::answering(answers.to_vec());
    let store = s3_spot(canned.port, "repo").with("retries", "1").store();
    let put = store.put_new(&ObjectName::new("config").unwrap(), b"ours");
    let heads = canned.heads.lock().unwrap();
    let puts = heads.iter().filter(|head| head.starts_with("PUT"));
    (put, puts.map(|head| head.to_lowercase().contains("if-none-match: *")).collect())
}

/// The store takes one object, and not another one in its place; then the answers that follow.
fn where_it_is_honoured(answers: &[String]) -> (Result<bool>, Vec<bool>) {
    let tried = [said("200 OK", ""), refused(), said("204 No Content", "")];
    put_new(&[&tried, answers].concat())
}

#[test]
fn where_the_condition_is_honoured_it_decides() {
    let (put, on_condition) = where_it_is_honoured(&[said("200 OK", "")]);
    assert!(put.unwrap());
    // The answer to the last may be here before its head is kept.
    assert_eq!(on_condition[..2], [false, true]);
    assert!(!where_it_is_honoured(&[refused(), said("200 OK", "them")]).0.unwrap());
    assert!(!where_it_is_honoured(&[refused(), said("200 OK", "longer than ours")]).0.unwrap());
}

#[test]
fn a_put_whose_answer_was_lost_is_known_by_its_bytes() {
    let lost = xml("500 Internal Server Error", NOW, "InternalError", "");
    assert!(where_it_is_honoured(&[lost, refused(), said("200 OK", "ours")]).0.unwrap());
    let denied = xml("403 Forbidden", NOW, "AccessDenied", "");
    assert!(where_it_is_honoured(&[refused(), denied]).0.is_err(), "whose it is cannot be told");
}

#[test]
fn where_the_condition_is_ignored_it_is_looked_and_then_put() {
    let tried = [said("200 OK", ""), said("200 OK", ""), said("204 No Content", "")];
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
    let (put, on_condition) = put_new(&[&tried[..], &[missing, said("200 OK", "")]].concat());
    assert!(put.unwrap());
    assert_eq!(on_condition[..2], [false, true]);
    assert!(!on_condition[2..].contains(&true));
    assert!(!put_new(&[&tried[..], &[said("200 OK", "")]].concat()).0.unwrap());
}
