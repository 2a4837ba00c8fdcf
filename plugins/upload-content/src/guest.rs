//! The plugin as the server sees it.
use sdk::upload_inspector::{Failure, Guest, Session, Upload, Verdict};
struct UploadContent;
sdk::upload_inspector::export!(UploadContent);
impl Guest for UploadContent {
    fn inspect(_session: Session, _upload: Upload) -> Result<Verdict, Failure> {
        Ok(Verdict::Accept)
    }
}
