//! A path guard: nobody deletes, renames or replaces a file whose name ends in ".log".

wit_bindgen::generate!({ world: "path-guard", path: "../../wit" });
use exports::portcullis::plugin::path_policy::*;

struct KeepLogs;
export!(KeepLogs);

impl Guest for KeepLogs {
    fn decide(_: Session, requests: Vec<Request>) -> Result<Vec<Decision>, Failure> {
        let decide = |request: &Request| match request.operation {
            Operation::See | Operation::List | Operation::Download => Decision::Allow,
            _ if request.path.ends_with(".log") => Decision::Deny("Logs are kept".into()),
            _ => Decision::Allow,
        };
        Ok(requests.iter().map(decide).collect())
    }
}
