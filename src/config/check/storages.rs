//! The directories of all storages.

use std::{ops::RangeInclusive, path::Path};

use super::{
    super::{Config, NamedStorage, Resume, StorageKind, grants::Service},
    Findings,
};

/// Bytes of a part.
const PART_SIZES: RangeInclusive<u64> = 5 << 20..=64 << 20;

/// Looks at the storages of the top level and of all hosts.
pub(super) fn storages(config: &Config, findings: &mut Findings) {
    if config.storage.is_empty() {
        findings.error("storage", "expected at least one [storage.NAME]");
    }
    let all = config.storages();
    for (index, one) in all.iter().enumerate() {
        let before = all.get(..index).unwrap_or_default();
        for other in before {
            apart(one, other, findings);
        }
        let storage = &one.storage;
        if let Some(staging) = &storage.staging
            && staging.starts_with(&storage.root)
        {
            findings.error(
                one.key("staging"),
                "lies within the storage's root, where clients would see it",
            );
        }
        if let Some(quarantine) = &storage.quarantine {
            for other in &all {
                if within_one_another(quarantine, &other.storage.root) {
                    findings.error(
                        one.key("quarantine"),
                        format!(
                            "it and the root of storage {:?} lie within one another",
                            other.id
                        ),
                    );
                }
            }
        }
        engine(one, findings);
        if storage.file_mode & 0o600 != 0o600 {
            findings.error(
                one.key("file-mode"),
                "expected 0600 in it: else the server could not read its own files",
            );
        }
        if storage.directory_mode & 0o700 != 0o700 {
            findings.error(
                one.key("directory-mode"),
                "expected 0700 in it: else the server could not enter its own directories",
            );
        }
    }
}

/// The keys that one engine needs, and others do not have.
fn engine(one: &NamedStorage, findings: &mut Findings) {
    let storage = &one.storage;
    let local = storage.kind == StorageKind::Local;
    for (key, is_set) in [
        ("bucket", storage.bucket.is_some()),
        ("prefix", storage.prefix.is_some()),
        ("endpoint", storage.endpoint.is_some()),
        ("region", storage.region.is_some()),
        ("account", storage.account.is_some()),
        ("credentials", storage.credentials.is_some()),
        ("authorities", storage.authorities.is_some()),
    ] {
        if local && is_set {
            findings.error(one.key(key), "is of no use where `kind` is \"local\"");
        }
    }
    if storage.resume == Resume::Anywhere && storage.kind != StorageKind::S3 {
        let text = "\"anywhere\" is for `kind = \"s3\"`: other engines are not asked to copy parts";
        findings.error(one.key("resume"), text);
    }
    if local {
        return;
    }
    if storage.bucket.as_ref().is_none_or(String::is_empty) {
        findings.error(
            one.key("bucket"),
            "expected the bucket that keeps the files",
        );
    }
    if let Some(prefix) = &storage.prefix
        && !prefix.trim_matches('/').is_empty()
        && prefix
            .trim_matches('/')
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."))
    {
        findings.error(
            one.key("prefix"),
            "expected names with '/' between, none of them empty, \".\" or \"..\"",
        );
    }
    if let Some(endpoint) = &storage.endpoint {
        let service = endpoint.parse().ok().and_then(|uri| Service::of(&uri));
        if service.is_none() {
            let text = "expected a URL of http or https, such as \"https://s3.example.org:9000\"";
            findings.error(one.key("endpoint"), text);
        }
    }
    if !PART_SIZES.contains(&storage.part_size) {
        let text = "expected 5MiB to 64MiB: S3 takes no smaller parts, and each is held in memory";
        findings.error(one.key("part-size"), text);
    }
}

/// Two storages have neither a root in common nor staging; those of two hosts do not reach into one
/// another either.
fn apart(one: &NamedStorage, other: &NamedStorage, findings: &mut Findings) {
    let hosts = one.host != other.host;
    let (root, there) = (&one.storage.root, &other.storage.root);
    if root == there {
        let text = format!("is the directory of storage {:?} already", other.id);
        return findings.error(one.key("root"), text);
    }
    if hosts && within_one_another(root, there) {
        let text = format!(
            "it and the root of storage {:?}, which is another host's, lie within one another",
            other.id
        );
        findings.error(one.key("root"), text);
    }
    if let Some(staging) = &one.storage.staging {
        if other.storage.staging.as_ref() == Some(staging) {
            let text = format!("uploads to storage {:?} wait there already", other.id);
            findings.error(one.key("staging"), text);
        } else if hosts && staging.starts_with(there) {
            let text = format!("lies within the root of storage {:?}", other.id);
            findings.error(one.key("staging"), text);
        }
    }
    if hosts
        && let Some(staging) = &other.storage.staging
        && staging.starts_with(root)
    {
        let text = format!("uploads to storage {:?} wait within it", other.id);
        findings.error(one.key("root"), text);
    }
    if one.id == other.id {
        let text = format!(
            "{} is known as {:?}, too: give one another name",
            other.table, one.id
        );
        findings.error(one.table.clone(), text);
    }
}

fn within_one_another(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
