//! The way out of quarantine.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
};

use super::{
    label::Label,
    origin::Origin,
    place::Spool,
    progress::Claim,
    quarantine::{self, QuarantinedUpload},
    tree::home_path,
    upload::{Received, StagedUpload},
};
use crate::{
    ftp::path::VirtualPath,
    gate::upload::Approval,
    storage::{Backend, Error, Result, posix::pool},
    types::{UploadMode, UserId},
};

/// Publishes an upload as if it had been accepted now. It stays in quarantine until it is published.
/// Where that takes a copy, `copied` counts its bytes.
pub(super) async fn release(
    spool: &Arc<Spool>,
    backend: &dyn Backend,
    id: &str,
    replace: bool,
    copied: Arc<AtomicU64>,
) -> Result<QuarantinedUpload> {
    let (looker, name) = (spool.clone(), id.to_owned());
    let held = pool(move || quarantine::find(&looker, &name).map(|(held, ..)| held)).await?;
    if !held.note.whole {
        return Err(Error::Unsupported);
    }
    let invalid = || Error::Io(io::Error::other("its note names no path"));
    let root = VirtualPath::root();
    let home = VirtualPath::parse(&held.home, &root).map_err(|_| invalid())?;
    let path = VirtualPath::parse(&held.note.path, &root).map_err(|_| invalid())?;
    let (files, home_path) = (backend.home(&home).await?, home_path(&home));
    let owner = UserId {
        host: held.note.host.clone(),
        name: held.note.user.as_str().into(),
    };
    let label = Label::new(&owner, &home_path, path.as_str());
    let key = label.key(&spool.name);
    let claim = Claim::new(&spool.staging, key, Arc::new(label), false)?;
    let found = files.find(&path).await?;
    let (stager, name) = (spool.clone(), id.to_owned());
    let (held, staged, file) = pool(move || quarantine::stage(&stager, &name, &copied)).await?;
    let upload = Received::new(StagedUpload {
        spool: spool.clone(),
        home: files,
        home_path,
        path: path.clone(),
        progress: claim.adopt(staged, file, held.size, Origin::new(&found)),
        ahead: spool.ahead(held.size, held.size),
        sending: None,
        replaces: Some(0),
        adds: false,
        quota: None,
        lost: false,
    });
    let approval = Approval::by_a_person(held.note.sha256.as_deref());
    let replace = replace || held.note.mode != UploadMode::Create;
    let published = upload.approve(approval).publish(&path, replace).await;
    published.map_err(|failed| failed.error)?;
    let remover = spool.clone();
    pool(move || {
        quarantine::remove(&remover, &held.id)?;
        Ok(held)
    })
    .await
}
