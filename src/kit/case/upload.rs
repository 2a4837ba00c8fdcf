//! Calls to upload inspectors.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use data_encoding::BASE64;
use tokio::sync::mpsc;

use super::{
    Answer, Call, Wrong,
    form::{Answering, Asking, Form, Question, absent, parse},
};
use crate::{
    ftp::path::VirtualPath,
    gate::{
        Fault, Named, SessionInfo,
        event::Observers,
        inspection::Inspection,
        upload::{Inspector, Record, Refusal, Upload, UploadFacts, Verdict},
    },
    plugin::PluginKind,
    types::{BoxFuture, OnFailure, Staged, UploadMode},
};

pub(super) const FORM: Form = Form {
    kind: &PluginKind::UPLOAD_INSPECTOR,
    asks: "an upload inspector",
    keys: &[
        "path",
        "mode",
        "announced-size",
        "content",
        "file",
        "base64",
        "cut-at",
    ],
    outcome: "verdict",
    words: &["accept", "accept-as", "reject", "quarantine", "interrupted"],
    expects: &["path"],
    read: |call, directory| {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let path = call.path.as_deref().unwrap_or_default();
        Ok(Arc::new(Sent {
            path: parse(path).map_err(|text| ("path".to_owned(), text))?,
            mode: call.mode.map_or(UploadMode::Create, UploadMode::from),
            announced_size: call.announced_size,
            content: content(call, directory)?,
            chunk: size(call.chunk.max(1)),
            cut_at: call.cut_at.map(size),
        }))
    },
    fits: |gates| !gates.inspectors.is_empty(),
};

/// An upload by a client.
#[derive(Debug)]
struct Sent {
    path: VirtualPath,
    mode: UploadMode,
    announced_size: Option<u64>,
    content: Bytes,
    /// Bytes of the pieces in which it comes.
    chunk: usize,
    /// How much comes before the client is gone, if it goes.
    cut_at: Option<usize>,
}

impl Question for Sent {
    fn describe(&self) -> String {
        let (path, size) = (self.path.as_str(), self.content.len());
        format!("upload of {path}, {size} bytes")
    }

    fn ask<'a>(&'a self, asking: &'a Asking, session: Arc<SessionInfo>) -> Answering<'a> {
        Box::pin(async move {
            let member = asking.gates.inspectors.first().ok_or_else(absent)?;
            self.inspected(member, &session).await
        })
    }
}

impl Sent {
    /// As the server's pump does it: piece by piece, until the end or a refusal.
    async fn inspected(
        &self,
        member: &Named<dyn Inspector>,
        session: &Arc<SessionInfo>,
    ) -> Result<Answer, Fault> {
        let (ended, mut end) = mpsc::channel(1);
        let watched = Named::<dyn Inspector> {
            name: member.name.clone(),
            on_failure: OnFailure::Deny,
            gate: Arc::new(Watched {
                inspector: member.gate.clone(),
                ended,
            }),
        };
        let facts = UploadFacts {
            path: self.path.clone(),
            mode: self.mode,
            announced_size: self.announced_size,
            staged: Some(Arc::new(Content(self.content.clone()))),
            record: Record::default(),
        };
        let mut inspection = Inspection::start(&[watched], session, &Observers::default(), &facts);
        let end_at = self.cut_at.unwrap_or(usize::MAX).min(self.content.len());
        let mut rest = self.content.slice(..end_at);
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(self.chunk));
            if let Err(refusal) = inspection.push(piece).await {
                return refused(refusal);
            }
        }
        if self.cut_at.is_some() {
            drop(inspection);
            return match end.recv().await {
                Some(Err(fault)) => Err(fault),
                _ => Ok(Answer::word("interrupted")),
            };
        }
        match inspection.finish().await {
            Ok(approval) => Ok(match approval.accept_as() {
                None => Answer::word("accept"),
                Some(path) => Answer {
                    path: Some(path.to_owned()),
                    ..Answer::word("accept-as")
                },
            }),
            Err(refusal) => refused(refusal),
        }
    }
}

fn refused(refusal: Refusal) -> Result<Answer, Fault> {
    match refusal {
        Refusal::Rejected(_, why) => Ok(Answer::word("reject").because(why)),
        Refusal::Quarantined(_, why) => Ok(Answer::word("quarantine").because(why)),
        Refusal::Failed(fault) => Err(fault),
    }
}

/// An inspector whose end is known even where nobody waits for its verdict.
struct Watched {
    inspector: Arc<dyn Inspector>,
    ended: mpsc::Sender<Result<Verdict, Fault>>,
}

impl Inspector for Watched {
    fn inspect(
        &self,
        session: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        let (inspector, ended) = (self.inspector.clone(), self.ended.clone());
        Box::pin(async move {
            let verdict = inspector.inspect(session, upload).await;
            let _ = ended.try_send(verdict.clone());
            verdict
        })
    }
}

/// The bytes that were sent, for digests that are asked for late.
struct Content(Bytes);

impl Staged for Content {
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, std::io::Result<Bytes>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = from.min(self.0.len());
        let to = from.saturating_add(length).min(self.0.len());
        let bytes = self.0.slice(from..to);
        Box::pin(async move { Ok(bytes) })
    }
}

fn content(call: &Call, directory: &Path) -> Result<Bytes, Wrong> {
    match (&call.content, &call.file, &call.base64) {
        (Some(text), None, None) => Ok(Bytes::from(text.clone())),
        (None, Some(file), None) => {
            let file = directory.join(file);
            let read = fs::read(&file).map(Bytes::from);
            read.map_err(|error| ("file".into(), format!("{}: {error}", file.display())))
        }
        (None, None, Some(text)) => {
            let text: String = text.split_whitespace().collect();
            let decoded = BASE64.decode(text.as_bytes()).map(Bytes::from);
            decoded.map_err(|error| ("base64".into(), error.to_string()))
        }
        (None, None, None) => Ok(Bytes::new()),
        _ => Err((
            "path".into(),
            "its content is said more than once: expected one of content, file and base64".into(),
        )),
    }
}
