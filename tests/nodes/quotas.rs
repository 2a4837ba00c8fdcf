//! Quotas of users whose files several servers have in one bucket.

use std::time::{Duration, Instant};

use crate::{
    bucket, engine,
    support::{Client, Server, Setup, Tls, content, eventually},
};

struct Service {
    bucket: bucket::Engine,
    redis: engine::Engine,
}

impl Service {
    fn start() -> Option<Self> {
        let (bucket, redis) = (bucket::Engine::start()?, engine::Engine::start()?);
        Some(Self { bucket, redis })
    }

    fn setup(&self) -> Setup {
        let setup = self.bucket.setup().set("state.url", &self.redis.url());
        setup.user("bob", "quota = 3000000")
    }

    fn node(&self) -> Server {
        self.setup().start()
    }
}

fn login(server: &Server) -> Client {
    server.login_as("bob", &Tls::new())
}

/// Stores 2,000,000 bytes, of which no two are within the quota.
fn store(client: &mut Client, name: &str) -> u16 {
    let stream = client.open();
    let begun = client.send(&format!("STOR {name}"));
    if begun.expect_one_of(&[150, 552]).code == 552 {
        return 552;
    }
    let mut data = client.protect(stream);
    let _ = data.send(&content(2_000_000, 1));
    let _ = data.finish();
    client.reply().expect_one_of(&[226, 552]).code
}

/// Whether 2,000,000 bytes more are too much; they do not stay.
fn is_full(client: &mut Client) -> bool {
    let full = store(client, "probe") == 552;
    if !full {
        client.send("DELE probe").expect(250);
    }
    full
}

#[test]
fn files_that_others_publish_and_remove_count() {
    let Some(service) = Service::start() else {
        return;
    };
    let (one, other) = (service.node(), service.node());
    let (mut here, mut there) = (login(&one), login(&other));
    // Both have counted the home.
    here.store("STOR here", b"1").expect(226);
    there.store("STOR there", b"2").expect(226);
    here.send("DELE here").expect(250);
    there.send("DELE there").expect(250);
    for round in 0..3 {
        assert_eq!(store(&mut here, "file"), 226, "{round}");
        eventually("the other server has heard of it", || is_full(&mut there));
        there.send("SIZE probe").expect(550);
        here.send("DELE file").expect(250);
        eventually("the other server has heard of that, too", || {
            !is_full(&mut there)
        });
        eventually("the first one has heard of all", || !is_full(&mut here));
    }
}

#[test]
fn uploads_under_way_count_until_their_server_is_killed() {
    let Some(service) = Service::start() else {
        return;
    };
    let (one, other) = (service.node(), service.node());
    let (mut here, mut there) = (login(&one), login(&other));
    there.store("STOR there", b"2").expect(226);
    there
        .send("SITE QUOTA")
        .expect(200)
        .saying("Uploaded bytes: 1/3000000");
    let mut data = here.begin("STOR file");
    data.send(&content(2_000_000, 1)).unwrap();
    eventually("the other server has heard of it", || is_full(&mut there));
    drop(one);
    let killed = Instant::now();
    eventually("its lease is over", || !is_full(&mut there));
    assert!(killed.elapsed() < Duration::from_secs(15));
}

#[test]
fn servers_hold_quotas_for_their_own_while_redis_is_away() {
    let Some(mut service) = Service::start() else {
        return;
    };
    let (one, other) = (service.node(), service.node());
    let (mut here, mut there) = (login(&one), login(&other));
    here.store("STOR here", b"1").expect(226);
    there.store("STOR there", b"2").expect(226);
    service.redis.kill();
    assert_eq!(store(&mut here, "file"), 226);
    assert_eq!(store(&mut here, "second"), 552);
    service.redis.revive();
    eventually("what was missed is told", || is_full(&mut there));
}
