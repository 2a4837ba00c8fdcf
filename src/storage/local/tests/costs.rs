//! What operations cost: `cargo test --config profile.dev.opt-level=3 --lib costs -- --ignored
//! --nocapture --test-threads 1`.

use super::*;
use rustix::time::{ClockId, clock_gettime};

/// Processor time of the whole process, in microseconds.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

async fn measure(what: &str, count: usize, mut work: impl AsyncFnMut()) {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let before = processor();
        work().await;
        best = best.min((processor() - before) / count as f64);
    }
    eprintln!("{what}: {best:.2} µs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn costs() {
    const COUNT: usize = 10_000;
    let fixture = Fixture::new().await;
    fs::create_dir(fixture.home().join("many")).unwrap();
    fs::create_dir(fixture.home().join("few")).unwrap();
    for number in 0..COUNT {
        fixture.write(&format!("many/file-{number:08}.txt"), "x");
    }
    for number in 0..10 {
        fixture.write(&format!("few/file-{number:08}.txt"), "x");
    }
    measure("list 10,000, an entry", COUNT, async || {
        let mut listing = fixture.tree.list(&path("/many")).await.unwrap();
        while listing.next().await.unwrap().is_some() {}
    })
    .await;
    measure("its floor: getdents64 and statx alone", COUNT, async || {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, statx};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = openat(CWD, fixture.home().join("many"), flags, Mode::empty()).unwrap();
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut names = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = names.next() {
            let (entry, flags) = (entry.unwrap(), AtFlags::SYMLINK_NOFOLLOW);
            let facts = statx(
                &directory,
                entry.file_name(),
                flags,
                super::super::beneath::FACTS,
            );
            std::hint::black_box(facts.unwrap());
        }
    })
    .await;
    measure("list 10, in all", 1000, async || {
        for _ in 0..1000 {
            let mut listing = fixture.tree.list(&path("/few")).await.unwrap();
            while listing.next().await.unwrap().is_some() {}
        }
    })
    .await;
    let file = path("/few/file-00000001.txt");
    measure("metadata", 1000, async || {
        for _ in 0..1000 {
            fixture.tree.metadata(&file).await.unwrap();
        }
    })
    .await;
    let mut buffer = vec![0; 4096];
    measure("read a small file", 1000, async || {
        for _ in 0..1000 {
            let source = fixture.tree.read(&file).await.unwrap();
            source.try_read_at(&mut buffer, 0).unwrap();
        }
    })
    .await;
    // New names each time: ext4 makes way around inodes that were freed a moment ago.
    let data = vec![b'x'; 4096];
    let mut number = 0;
    measure("store a small file", 1000, async || {
        for _ in 0..1000 {
            number += 1;
            let new = path(&format!("/few/{number}"));
            let mut part = fixture.tree.stage(&new, From::Start).await.unwrap();
            part.write(&mut [IoSlice::new(&data)]).await.unwrap();
            part.publish(&new, true).await.unwrap();
        }
    })
    .await;
    measure("the same by the system's own calls", 1000, async || {
        for _ in 0..1000 {
            number += 1;
            fs::write(fixture.home().join("few").join(number.to_string()), &data).unwrap();
        }
    })
    .await;
}
