//! The directories of all storages.

use std::path::Path;

use super::{
    super::{Config, NamedStorage},
    Findings,
};

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
