//! Buckets behind a proxy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::desk::Ran;
use crate::scene::Scene;

/// A proxy that opens tunnels for those who know the password, and remembers what it was asked.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || tunnel(client, &heard));
            }
        });
        Proxy { port, asked }
    }
}

fn tunnel(mut client: TcpStream, heard: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    heard.lock().unwrap().push(head.lines().next().unwrap().to_owned());
    // "me:secret".
    if !head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n") {
        client.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n").unwrap();
        return;
    }
    let server = TcpStream::connect(head.split(' ').nth(1).unwrap()).unwrap();
    client.write_all(b"HTTP/1.1 200 Here you are\r\n\r\n").unwrap();
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || pass(from, to));
    pass(server, client);
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // Either side may go away at any time.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn back_up(scene: &Scene, variables: &[(&str, &str)]) -> Ran {
    let endpoint = format!("endpoint={}", scene.server.endpoint());
    let mut command = scene.desk.keepstone();
    command.args(["backup", "-b", &endpoint, "-b", "retries=1", "s3://bucket"]);
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    command.envs(variables.iter().copied());
    Ran::of("backup", command.output().unwrap())
}

#[test]
fn a_bucket_is_reached_through_the_proxy_that_the_environment_names() {
    let (scene, proxy) = (Scene::holding(["a", "b//c"]), Proxy::start());
    let address = format!("http://me:secret@127.0.0.1:{}", proxy.port);

    back_up(&scene, &[("http_proxy", &address), ("no_proxy", "")]).succeeds();

    assert_eq!(scene.keys(), ["a", "b//c"]);
    let server = scene.server.endpoint().replace("http://", "");
    let asked = std::mem::take(&mut *proxy.asked.lock().unwrap());
    assert!(!asked.is_empty() && asked.iter().all(|line| *line == format!("CONNECT {server} HTTP/1.1")), "{asked:?}");

    back_up(&scene, &[("http_proxy", &address), ("no_proxy", "127.0.0.1")]).succeeds();
    assert_eq!(*proxy.asked.lock().unwrap(), [] as [&str; 0]);
}

#[test]
fn a_proxy_that_refuses_or_is_not_there_is_named_without_its_password() {
    let (scene, proxy) = (Scene::holding(["a"]), Proxy::start());
    let address = format!("http://me:guessed@127.0.0.1:{}", proxy.port);
    let ran = back_up(&scene, &[("http_proxy", &address), ("no_proxy", "")]).ends(1);
    ran.complains(&format!("the proxy 127.0.0.1:{}: ", proxy.port));

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://me:guessed@127.0.0.1:{nobody}");
    let ran = back_up(&scene, &[("http_proxy", &address), ("no_proxy", "")]).ends(1);
    assert!(!ran.stderr.contains("guessed"), "{}", ran.stderr);
    ran.complains(&format!("the proxy 127.0.0.1:{nobody}: Connection refused"));
}
