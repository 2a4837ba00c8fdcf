//! How much memory there is for the server.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The size that is assumed where the system does not say: enough for one of each.
const LEAST: u64 = 1 << 30;

/// Bytes of the machine's memory, or of what the server's control group may have of it, if less.
pub(super) fn memory() -> u64 {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    let group = read(Path::new("/proc/self/cgroup")).and_then(|text| group(&text));
    let limits = group
        .iter()
        .flat_map(|group| limits(Path::new("/sys/fs/cgroup"), group));
    machine.into_iter().chain(limits).min().unwrap_or(LEAST)
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `MemTotal`, proc_meminfo(5).
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The control group of version 2, cgroups(7).
fn group(cgroup: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(path.into())
}

/// The limits of a group and of those that it is in.
fn limits(root: &Path, group: &Path) -> Vec<u64> {
    let groups = group.ancestors();
    let limits = groups.filter_map(|group| {
        let files = ["memory.max", "memory.high"].into_iter();
        let limits = files.filter_map(|file| read(&root.join(group).join(file)));
        // No limit is "max".
        limits.filter_map(|text| text.trim().parse().ok()).min()
    });
    limits.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_there_is() {
        assert!(memory() > 64 << 20);
        assert_eq!(
            total("MemTotal:       24689764 kB\nMemFree: 1 kB\n"),
            Some(24_689_764 << 10)
        );
        assert_eq!(total("MemTotal: much\n"), None);
    }

    #[test]
    fn the_lowest_limit_of_the_groups_counts() {
        let text = "1:cpu:/other\n0::/system.slice/portcullis.service\n";
        let group = group(text).unwrap();
        assert_eq!(group, Path::new("system.slice/portcullis.service"));
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join(&group);
        fs::create_dir_all(&service).unwrap();
        fs::write(service.join("memory.max"), "max\n").unwrap();
        assert!(limits(root.path(), &group).is_empty());
        fs::write(service.join("memory.high"), "536870912\n").unwrap();
        fs::write(root.path().join("system.slice/memory.max"), "1073741824\n").unwrap();
        assert_eq!(limits(root.path(), &group), [536_870_912, 1_073_741_824]);
    }
}
