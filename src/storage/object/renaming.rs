//! Other names: an engine copies, and removes.

use std::sync::OnceLock;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    super::{Error, Result},
    engine::Object,
    home::ObjectHome,
};
use crate::ftp::{metadata::Kind, path::VirtualPath};

/// The most that S3 copies in one request, in bytes.
const LARGEST_COPY: u64 = 5 << 30;
/// The most objects of a directory that gets another name: each of them is copied, and one that is lost on the
/// way is seen at both places.
const MOST_RENAMED: usize = 1000;
/// The number of them at once.
const AT_ONCE: usize = 8;

impl ObjectHome {
    pub(super) async fn rename_file(
        &self,
        object: &Object,
        to: &VirtualPath,
        replace: bool,
    ) -> Result<()> {
        match self.look(to).await?.entry {
            None => {}
            Some((Kind::File, _)) if replace => {}
            Some((Kind::Directory, _)) if replace => return Err(Error::IsDirectory),
            Some(_) => return Err(Error::Exists),
        }
        if object.size > LARGEST_COPY {
            return Err(Error::Unsupported);
        }
        let to = self.keys.file(to)?;
        match self.engine.copy(object, &to, replace).await {
            Err(Error::Changed) if !replace && self.engine.find(&to).await?.is_some() => {
                return Err(Error::Exists);
            }
            copied => copied?,
        };
        self.engine.delete_version(object).await
    }

    pub(super) async fn rename_directory(
        &self,
        from: &VirtualPath,
        to: &VirtualPath,
    ) -> Result<()> {
        if self.look(to).await?.entry.is_some() {
            return Err(Error::Exists);
        }
        let (old, new) = (self.keys.directory(from)?, self.keys.directory(to)?);
        let page = self
            .engine
            .page(&old, true, Some(MOST_RENAMED), None)
            .await?;
        let large = |object: &Object| object.size > LARGEST_COPY;
        if page.next.is_some() || page.objects.iter().any(large) {
            return Err(Error::Unsupported);
        }
        let places = page.objects.into_iter().filter_map(|object| {
            let moved = format!("{new}{}", object.key.strip_prefix(&old)?);
            Some((object, moved))
        });
        let (mut directories, files): (Vec<_>, Vec<_>) =
            places.partition(|(from, _)| from.key.ends_with('/'));
        self.known().clear();
        let (copies, copied) = self.copy_all(&directories, &files).await;
        // The ones that are not needed any more: no version but that which was copied, or is the copy.
        let gone = match copied {
            Ok(()) => files.into_iter().map(|(from, _)| from).collect(),
            Err(_) => copies,
        };
        let removed = stream::iter(&gone)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |object| self.engine.delete_version(object))
            .await;
        // From the innermost on, as some engines keep them as directories.
        directories.reverse();
        for (from, to) in &directories {
            let key = if copied.is_ok() { &from.key } else { to };
            self.engine.delete(key).await?;
        }
        copied.and(removed)
    }

    /// Copies objects to where nothing lies; says which copies there are, and whether they are all.
    async fn copy_all(
        &self,
        directories: &[(Object, String)],
        files: &[(Object, String)],
    ) -> (Vec<Object>, Result<()>) {
        for (_, to) in directories {
            if let Err(error) = self.engine.make_directory(to).await {
                return (Vec::new(), Err(error));
            }
        }
        let failed = OnceLock::new();
        let each = async |(from, to): &(Object, String)| {
            // No more are begun, and those that are under way come to their end.
            if failed.get().is_some() {
                return None;
            }
            match self.engine.copy(from, to, false).await {
                Ok(copy) => Some(copy),
                Err(Error::Changed) => {
                    let _ = failed.set(Error::Exists);
                    None
                }
                Err(error) => {
                    let _ = failed.set(error);
                    None
                }
            }
        };
        let copies = stream::iter(files).map(each).buffer_unordered(AT_ONCE);
        let copies = copies.filter_map(|copy| async { copy }).collect().await;
        (copies, failed.into_inner().map_or(Ok(()), Err))
    }
}
