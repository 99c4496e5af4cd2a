//! Faults between keepstone and a server: nothing is lost, the message is clear, and the next run goes on.

use crate::answers::{NOW, xml};
use crate::desk::Ran;
use crate::proxy::{Fate, Proxy};
use crate::scene::{Scene, noise};
use crate::servers::{Kind, Lasting, free_port, make_bucket, s3_spot, spot, start_s3_on};
use std::time::{Duration, Instant};

/// A repository with one snapshot, made without faults.
fn scene_at(kind: Kind) -> Scene {
    let scene = Scene::at(spot(kind));
    scene.run("init").succeeds();
    scene.run("backup source --as /source").succeeds();
    std::fs::write(scene.desk.path("source/more"), noise(1, 300_000)).unwrap();
    scene
}

/// Backs up and checks through a proxy that fails each connection as `script` says.
fn survives(kind: Kind, script: impl FnMut(u64) -> Fate + Send + 'static) {
    let scene = scene_at(kind);
    let proxy = Proxy::failing(scene.spot.port, script);
    let shaky = scene.spot.through(proxy.port).with("timeout", "2");
    scene.run_at(&shaky, "backup source --as /source").succeeds();
    scene.run_at(&shaky, "check --read-data").succeeds().says("no damage");
    assert!(proxy.faults() > 0, "nothing failed");
    scene.restores();
}

#[test]
fn connections_that_are_cut_while_receiving_are_made_anew() {
    survives(Kind::S3, |n| if n % 2 == 0 { Fate::CutDown(500 + 3000 * (n % 7)) } else { Fate::Pass });
}

#[test]
fn connections_that_are_cut_while_sending_are_made_anew() {
    // Late enough for the announcement of a session, which is never sent twice, and in the midst of a pack.
    survives(Kind::S3, |_| Fate::CutFirstUp { after: 100_000, times: 3 });
}

#[test]
fn webdav_survives_cuts_too() {
    survives(Kind::Webdav, |n| if n % 2 == 0 { Fate::CutDown(3000) } else { Fate::Pass });
}

#[test]
fn sftp_survives_cuts_too() {
    let scene = scene_at(Kind::Sftp);
    scene.run("backup source --as /source").succeeds();
    let proxy = Proxy::failing(scene.spot.port, |n| if n < 5 { Fate::CutDown(100_000) } else { Fate::Pass });
    let ran = scene.run_at(&scene.spot.through(proxy.port), "check --read-data");
    assert!(proxy.faults() > 0, "nothing failed");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_prune_clears_away_what_killed_backups_left_on_an_ssh_server_a_week_ago() {
    let scene = scene_at(Kind::Sftp);
    let place = scene.spot.address.strip_prefix("sftp://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    let tmp = std::path::Path::new(place.unwrap()).join("tmp");
    let days_ago = |days: u64| std::time::SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
    for (name, days) in [(".old", 8), (".young", 6), ("somebody's", 100)] {
        let file = std::fs::File::create(tmp.join(name)).unwrap();
        file.set_modified(days_ago(days)).unwrap();
    }
    scene.run("prune").succeeds().complains("removed 1 files");
    let left = std::fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.collect::<std::collections::BTreeSet<_>>(), [".young", "somebody's"].map(String::from).into());
}

/// Processes of this machine whose command line holds these words.
fn running(words: &str) -> Vec<String> {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(words)).collect()
}

#[test]
fn no_ssh_process_stays_when_a_command_has_ended() {
    let server = Lasting::of(Kind::Sftp);
    let scene = Scene::at(server.spot.clone());
    let key = server.spot.options[0].1.clone();
    for line in ["snapshots", "init", "backup source --as /source", "snapshots", "backup nowhere", "prune"] {
        scene.run(line);
        // It was told to end, and takes a moment.
        let patience = Instant::now() + Duration::from_secs(10);
        while !running(&format!("-i {key}")).is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(running(&format!("-i {key}")), Vec::<String>::new(), "after {line}");
    }
}

#[test]
fn an_ssh_server_that_is_not_there_or_not_known_is_said_to_be() {
    let scene = Scene::at(spot(Kind::Sftp));
    let ran = scene.run_at(&scene.spot.through(free_port()), "snapshots").ends(1);
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
    let mut strict = scene.spot.through(Proxy::to(scene.spot.port).port);
    strict.options.retain(|(key, _)| key != "known-hosts");
    let ran = scene.run_at(&strict, "snapshots").ends(1).complains("ost key");
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn a_request_that_hangs_is_cut_and_tried_again() {
    survives(Kind::S3, |n| if n == 1 { Fate::Stall(0) } else { Fate::Pass });
}

#[test]
fn a_slow_way_only_takes_longer() {
    let scene = scene_at(Kind::S3);
    let proxy = Proxy::failing(scene.spot.port, |_| Fate::Delay(Duration::from_millis(20)));
    scene.run_at(&scene.spot.through(proxy.port), "backup source --as /source").succeeds();
    scene.restores();
}

#[test]
fn a_bit_that_flips_on_the_way_is_noticed() {
    let scene = scene_at(Kind::S3);
    // Far enough into an answer to be in its body.
    let proxy = Proxy::failing(scene.spot.port, |_| Fate::Flip(1500));
    let ran = scene.run_at(&scene.spot.through(proxy.port), "check --read-data");
    assert_ne!(ran.code, Some(0), "{}", ran.stdout);
    assert!(proxy.faults() > 0);
    scene.run("check --read-data").succeeds();
}

#[test]
fn a_bit_that_flips_on_the_way_up_is_noticed_by_the_server_and_sent_again() {
    // Far enough to be in a pack.
    survives(Kind::S3Strict, |_| Fate::FlipFirstUp { after: 100_000, times: 2 });
}

/// Away for longer than a request takes, and for less than what is tried takes.
#[test]
fn a_server_that_is_away_for_a_moment_is_waited_for() {
    for kind in [Kind::S3, Kind::Sftp, Kind::Webdav] {
        let scene = scene_at(kind);
        let proxy = Proxy::to(scene.spot.port);
        let way = scene.spot.through(proxy.port);
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| {
                // When the announcement, which is sent only once, has passed.
                let patience = Instant::now() + Duration::from_secs(20);
                while !proxy.has_passed(100_000) && Instant::now() < patience {
                    std::thread::sleep(Duration::from_millis(1));
                }
                proxy.close(true);
                std::thread::sleep(Duration::from_millis(1500));
                proxy.close(false);
            });
            std::fs::write(scene.desk.path("source/large"), noise(2, 20 << 20)).unwrap();
            scene.run_at(&way, "backup source --as /source --limit-upload 10000")
        });
        // By SFTP a connection that broke is not always seen to be broken; then the next run goes on.
        if kind != Kind::Sftp {
            assert_eq!(ran.code, Some(0), "{kind:?}: {}", ran.stderr);
        }
        scene.run("backup source --as /source").succeeds();
        scene.run("check --read-data").succeeds();
        scene.restores();
    }
}

/// A backup through a proxy, to which something happens as soon as so many bytes have gone up.
fn backed_up_when(scene: &Scene, proxy: &Proxy, bytes: u64, happens: impl FnOnce() + Send) -> Ran {
    std::fs::write(scene.desk.path("source/large"), noise(2, 20 << 20)).unwrap();
    let way = scene.spot.through(proxy.port);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let patience = Instant::now() + Duration::from_secs(60);
            while !proxy.has_passed(bytes) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
            happens();
        });
        scene.run_at(&way, "backup source --as /source --limit-upload 10000")
    })
}

/// In the midst of a pack.
const MIDST: u64 = 4 << 20;

#[test]
fn a_server_that_is_killed_and_comes_back_with_its_data_costs_at_most_that_run() {
    for kind in [Kind::S3Strict, Kind::Azblob, Kind::Sftp, Kind::Webdav] {
        let mut server = Lasting::of(kind);
        let scene = Scene::at(server.spot.clone());
        scene.run("init").succeeds();
        scene.run("backup source --as /source").succeeds();
        let proxy = Proxy::to(scene.spot.port);
        let ran = backed_up_when(&scene, &proxy, MIDST, || {
            server.kill();
            std::thread::sleep(Duration::from_millis(500));
            server.start();
        });
        assert!(matches!(ran.code, Some(0 | 1)), "{kind:?}: {}", ran.stderr);
        // What libraries say of broken connections is not shown.
        let lines = ran.stderr.trim_end().lines().count();
        assert!(ran.code == Some(0) || (lines == 1 && ran.stderr.contains("cannot ")), "{kind:?}: {}", ran.stderr);
        scene.run("backup source --as /source").succeeds();
        scene.run("check --read-data").succeeds().says("no damage");
        scene.restores();
    }
}

#[test]
fn a_server_that_is_overloaded_for_a_while_is_given_time() {
    let scene = scene_at(Kind::S3);
    let proxy = Proxy::to(scene.spot.port);
    let slow = xml("503 Slow Down", NOW, "SlowDown", "");
    let ran = backed_up_when(&scene, &proxy, MIDST, || {
        proxy.answer(Some(&slow));
        std::thread::sleep(Duration::from_millis(1500));
        proxy.answer(None);
    });
    ran.succeeds();
    assert!(proxy.answered() > 0, "it was never overloaded");
    scene.run("check --read-data").succeeds().says("no damage");
    scene.restores();
}

#[test]
fn credentials_that_expire_in_the_midst_of_a_run_end_it_at_once_with_a_word_and_the_next_one_goes_on() {
    for status in ["400 Bad Request", "403 Forbidden"] {
        let scene = scene_at(Kind::S3);
        let proxy = Proxy::to(scene.spot.port);
        let expired = xml(status, NOW, "ExpiredToken", "");
        let ran = backed_up_when(&scene, &proxy, MIDST, || proxy.answer(Some(&expired)));

        let ran = ran.ends(1).complains("the credentials have expired");
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
        assert!(proxy.answered() < 20, "{} requests were made with them", proxy.answered());

        proxy.answer(None);
        scene.run("backup source --as /source").succeeds();
        scene.run("check --read-data").succeeds().says("no damage");
        scene.restores();
    }
}

#[test]
fn many_hosts_back_up_into_one_repository_at_once_over_a_bad_network() {
    let scene = scene_at(Kind::S3);
    let proxy = Proxy::failing(scene.spot.port, |n| if n % 9 == 4 { Fate::CutDown(700) } else { Fate::Pass });
    let way = scene.spot.through(proxy.port);
    let hosts: Vec<Scene> = (0..4).map(|_| Scene::at(way.clone())).collect();
    std::thread::scope(|scope| {
        for (at, host) in hosts.iter().enumerate() {
            scope.spawn(move || {
                for day in 0..3 {
                    std::fs::write(host.desk.path("source/today"), noise(at as u64 * 10 + day, 200_000)).unwrap();
                    // An announcement whose fate is unclear is not sent again: that run ends, and the next goes on.
                    let ran = host.run(&format!("backup source --as /source --host host-{at}"));
                    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
                }
                host.run(&format!("backup source --as /source --host host-{at}"));
            });
        }
    });
    assert!(proxy.faults() > 0);
    scene.run("check --read-data").succeeds().says("no damage");
    for (at, host) in hosts.iter().enumerate() {
        host.run_at(&scene.spot, &format!("backup source --as /source --host host-{at}")).succeeds();
        host.restores_from(&scene.spot);
    }
}

#[test]
fn a_server_that_is_gone_ends_a_backup_and_the_next_one_goes_on() {
    let scene = scene_at(Kind::S3);
    let proxy = Proxy::to(scene.spot.port);
    let way = scene.spot.through(proxy.port).with("retries", "1");
    proxy.close(true);
    scene.run_at(&way, "backup source --as /source").ends(1).complains("127.0.0.1");
    proxy.close(false);
    scene.run_at(&way, "backup source --as /source").succeeds();
    scene.run("check --read-data").succeeds();
    scene.restores();
}

/// moto keeps nothing when it stops, so what comes back is another, empty server: no repository, and said so.
#[test]
fn a_server_that_comes_back_empty_holds_no_repository() {
    let port = free_port();
    let server = start_s3_on(port);
    make_bucket(port);
    let scene = Scene::at(s3_spot(port, "repo"));
    scene.run("init").succeeds();
    server.stop();
    scene.run("snapshots").ends(1).complains("cannot be reached");
    let _server = start_s3_on(port);
    scene.run("snapshots").ends(1).complains("no such bucket");
    make_bucket(port);
    scene.run("snapshots").ends(10);
}
