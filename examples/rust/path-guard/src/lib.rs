//! A drop box: dot files do not exist, new files may be put into /incoming, and nothing else
//! changes.

wit_bindgen::generate!({ world: "checked-path-guard", path: "wit" });

use exports::portcullis::plugin::path_policy::{
    Decision, Failure, Guest, Operation, Request, Session, UploadMode,
};
use exports::portcullis::plugin::settings_check::{Guest as SettingsCheck, Problem};
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::settings;

struct DropBox;
export!(DropBox);

impl Guest for DropBox {
    fn decide(_session: Session, requests: Vec<Request>) -> Result<Vec<Decision>, Failure> {
        log_panics();
        Ok(requests.iter().map(decide).collect())
    }
}

/// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
impl SettingsCheck for DropBox {
    fn check() -> Result<(), Vec<Problem>> {
        // There are no settings: whatever is written there is a mistake.
        match settings::keys("").unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(key) => Err(vec![Problem {
                key,
                reason: "there is no such setting".into(),
            }]),
        }
    }
}

fn decide(request: &Request) -> Decision {
    // Paths come normalised: no "..", no empty parts, always from the root.
    if request.path.contains("/.") {
        return Decision::Hide;
    }
    match request.operation {
        Operation::See | Operation::List | Operation::Download => Decision::Allow,
        Operation::Upload(UploadMode::Create) if request.path.starts_with("/incoming/") => {
            Decision::Allow
        }
        _ => Decision::Deny("Only new files in /incoming".into()),
    }
}

/// There is no standard error here: without this a panic is a trap without a word.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(Level::Error, &panic.to_string())
    }));
}
