//! The cost of the gates and the local storage, in processor time of the whole process: the least
//! of seven runs. `cargo bench`. For the server as a whole against others, a load generator is
//! needed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{fs, hint::black_box, io::IoSlice, net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use portcullis::{
    config::{self, Config},
    ftp::{path::VirtualPath, secret::Secret},
    gate::{
        Account, Gates, SessionInfo,
        authentication::Credentials,
        event::Observers,
        inspection::Inspection,
        path_policy::{Operation, Request},
        requests::{Entries, Requests},
        upload::{Record, UploadFacts},
    },
    plugin::Host,
    spool::{StartAt, Storage, Tree},
    startup::Startup,
    storage::Wanted,
    types::{Durability, HostId, UploadMode},
};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RawDir, StatxFlags, openat, statx},
    time::{ClockId, clock_gettime},
};

const RUNS: usize = 7;
const MANY: usize = 10_000;

#[tokio::main]
async fn main() {
    // `cargo test --benches` passes other words; only `cargo bench` measures.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    gates(directory.path()).await;
    storage(directory.path()).await;
}

/// Microseconds of processor time.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

async fn measure(what: &str, count: usize, mut work: impl AsyncFnMut()) {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let before = processor();
        work().await;
        best = best.min((processor() - before) / count as f64);
    }
    println!("{what:<48} {best:>10.2} µs");
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::parse(text, &VirtualPath::root()).unwrap()
}

fn session() -> Arc<SessionInfo> {
    Arc::new(SessionInfo {
        id: "bench".into(),
        client: SocketAddr::from(([192, 0, 2, 7], 50_000)),
        server: SocketAddr::from(([192, 0, 2, 1], 21)),
        host: None,
        tls: None,
        certificate: None,
        known: true,
        user: Some("alice".into()),
        virtual_host: HostId::default(),
        account: Some(Arc::new(Account::new(path("/alice")))),
    })
}

fn upload() -> UploadFacts {
    UploadFacts {
        path: path("/x"),
        mode: UploadMode::Create,
        announced_size: None,
        staged: None,
        record: Record::default(),
    }
}

/// The plugins that ship, as configured by default, but with a user whose hash costs nothing.
async fn gates(state: &Path) {
    let hash = "$argon2id$v=19$m=8,t=1,p=1$6HFjYZHZjs/+ivIU6Du+Iw$t+ZY4FWTwL/4l0WZLTsIxgJqneNTMWQ0dYL9ar7o1ck";
    fs::write(
        state.join("users.toml"),
        format!("[alice]\npassword = \"{hash}\"\n"),
    )
    .unwrap();
    let host = Host::new(&config::PluginHost::default(), &state.join("cache"), None).unwrap();
    let plugins = Config::default().plugin;
    measure("load three plugins, compiled before", 1, async || {
        host.gates(&plugins, state).await.unwrap();
    })
    .await;
    let gates: Gates = host.gates(&plugins, state).await.unwrap();
    let credentials = Credentials {
        user: "alice".into(),
        password: Some(Secret::new("bench-password")),
        one_time_code: None,
    };
    measure("a login", 1000, async || {
        for _ in 0..1000 {
            let gate = &gates.authenticators[0].gate;
            black_box(gate.authenticate(session(), credentials.clone()).await).unwrap();
        }
    })
    .await;

    let (facts, guard) = (session(), gates.policies[0].gate.guard());
    let one = vec![Request {
        operation: Operation::Download,
        path: path("/a/b.txt"),
    }];
    let one: Arc<Requests> = Arc::new(one.into());
    measure("a path", 1000, async || {
        for _ in 0..1000 {
            black_box(guard.decide(facts.clone(), one.clone()).await).unwrap();
        }
    })
    .await;
    let mut many = Entries::of(&path("/a"), MANY);
    for number in 0..MANY {
        many.push(&format!("file-{number}.txt")).unwrap();
    }
    let many: Arc<Requests> = Arc::new(many.into());
    measure("paths of a listing, each", MANY, async || {
        black_box(guard.decide(facts.clone(), many.clone()).await).unwrap();
    })
    .await;

    let upload = upload();
    let piece = Bytes::from(vec![b'a'; 64 << 10]);
    measure("inspect 1 MiB", 256, async || {
        let mut inspection =
            Inspection::start(&gates.inspectors, &facts, &Observers::default(), &upload);
        for _ in 0..4096 {
            inspection.push(piece.clone()).await.unwrap();
        }
        inspection.finish().await.unwrap();
    })
    .await;
    measure("inspect 4 KiB", 1000, async || {
        for _ in 0..1000 {
            let mut inspection =
                Inspection::start(&gates.inspectors, &facts, &Observers::default(), &upload);
            inspection.push(piece.slice(..4096)).await.unwrap();
            inspection.finish().await.unwrap();
        }
    })
    .await;
}

async fn storage(state: &Path) {
    let config = config::Storage {
        root: state.join("files"),
        durability: Durability::None,
        ..config::Storage::default()
    };
    let storage = Storage::open("bench", &config, state, &Startup::real()).unwrap();
    let tree = storage
        .home(&path("/alice"), &"alice".into())
        .await
        .unwrap();
    // Nobody has anything against what is uploaded.
    let (facts, upload) = (session(), upload());
    let home = config.root.join("alice");
    for (directory, files) in [("many", MANY), ("few", 10)] {
        fs::create_dir(home.join(directory)).unwrap();
        for number in 0..files {
            fs::write(
                home.join(directory).join(format!("file-{number:08}.txt")),
                "x",
            )
            .unwrap();
        }
    }
    measure("list 10,000 entries, each", MANY, async || {
        list(&tree, "/many").await;
    })
    .await;
    measure("its floor: getdents64 and statx", MANY, async || {
        floor(&home.join("many"))
    })
    .await;
    measure("list 10 entries, in all", 1000, async || {
        for _ in 0..1000 {
            list(&tree, "/few").await;
        }
    })
    .await;
    let file = path("/few/file-00000001.txt");
    measure("open and read a small file", 1000, async || {
        let mut buffer = [0; 4096];
        for _ in 0..1000 {
            let content = tree.read(&file).await.unwrap();
            black_box(content.try_read_at(&mut buffer, 0)).unwrap();
        }
    })
    .await;
    let (data, mut number) = ([b'x'; 4096], 0);
    // New names each time: ext4 makes way around inodes that were freed a moment ago.
    measure("stage and publish a small file", 1000, async || {
        for _ in 0..1000 {
            number += 1;
            let new = path(&format!("/few/{number}"));
            let mut incoming = tree.stage(&new, StartAt::Start).await.unwrap();
            incoming.write(&mut [IoSlice::new(&data)]).await.unwrap();
            let received = incoming.complete().unwrap();
            let approval = Inspection::start(&[], &facts, &Observers::default(), &upload)
                .finish()
                .await;
            let approved = received.approve(approval.unwrap());
            approved.publish(&new, true).await.unwrap();
        }
    })
    .await;
}

async fn list(tree: &Tree, directory: &str) {
    let mut listing = tree.list(&path(directory), Wanted::Facts).await.unwrap();
    while listing.next().await.unwrap().is_some() {}
}

fn floor(directory: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = openat(CWD, directory, flags, Mode::empty()).unwrap();
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut names = RawDir::new(&directory, buffer.spare_capacity_mut());
    while let Some(entry) = names.next() {
        let (entry, flags) = (entry.unwrap(), AtFlags::SYMLINK_NOFOLLOW);
        let facts = statx(
            &directory,
            entry.file_name(),
            flags,
            StatxFlags::BASIC_STATS,
        );
        black_box(facts.unwrap());
    }
}
