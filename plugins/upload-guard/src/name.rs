//! What a file's name gives away.

use crate::settings::Names;

/// The last component of a path, in lower case, and without the dots and spaces at its end, that
/// Windows does not see.
pub fn of(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(['.', ' ']).to_lowercase()
}

/// What follows the last dot.
pub fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// Why the name is refused, if it is. `name` is what [`of`] makes of the path.
pub fn refuse(name: &str, names: &Names) -> Option<String> {
    let mut extensions = name.split('.').skip(1).map(|part| part.trim_matches(' '));
    let last = extensions.clone().last();
    let denied = |extension: &&str| names.deny.iter().any(|denied| denied == extension);
    let denied = match names.every {
        true => extensions.find(denied),
        false => last.filter(denied),
    };
    if let Some(extension) = denied {
        return Some(format!("The extension .{extension} is not accepted"));
    }
    if let Some(allowed) = &names.allow
        && !allowed.iter().any(|allowed| allowed == last.unwrap_or(""))
    {
        return Some(match last {
            Some(extension) => format!("The extension .{extension} is not accepted"),
            None => "Files without an extension are not accepted".into(),
        });
    }
    let matches = |pattern: &String| fast_glob::glob_match(pattern, name);
    names
        .patterns
        .iter()
        .any(matches)
        .then(|| "Files of this name are not accepted".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn refuses(settings: &str, path: &str) -> bool {
        let settings = Settings::parse(settings).unwrap();
        refuse(&of(path), &settings.names).is_some()
    }

    #[test]
    fn denies_the_last_extension() {
        let settings = r#"{"deny-extensions": ["exe", ".COM"]}"#;
        for path in [
            "/x.exe",
            "/X.EXE",
            "/a.b/x.txt.exe",
            "/.exe",
            "/x.exe.",
            "/x.exe. .",
            "/x.com",
            "/x. exe",
        ] {
            assert!(refuses(settings, path), "{path}");
        }
        for path in ["/x", "/x.exe.txt", "/exe", "/x.exe/y", "/x.exes", "/"] {
            assert!(!refuses(settings, path), "{path}");
        }
    }

    #[test]
    fn denies_every_extension_where_told() {
        let settings = r#"{"deny-extensions": ["exe"], "all-extensions": true}"#;
        assert!(refuses(settings, "/x.exe.txt"));
        assert!(refuses(settings, "/x.a.EXE.b"));
        assert!(!refuses(settings, "/exe.txt"));
    }

    #[test]
    fn allows_only_what_is_listed() {
        let settings = r#"{"allow-extensions": ["pdf", ""]}"#;
        assert!(!refuses(settings, "/x.PDF") && !refuses(settings, "/README"));
        assert!(refuses(settings, "/x.png"));
        assert!(refuses(r#"{"allow-extensions": ["pdf"]}"#, "/README"));
    }

    #[test]
    fn denies_by_pattern() {
        let settings = r#"{"deny-names": ["~$*", "*.TMP", "thumbs.db"]}"#;
        for path in ["/~$x.docx", "/a/x.tmp", "/Thumbs.db"] {
            assert!(refuses(settings, path), "{path}");
        }
        assert!(!refuses(settings, "/x~$") && !refuses(settings, "/x.tmp/y"));
    }

    #[test]
    fn says_why() {
        let settings = Settings::parse(r#"{"deny-extensions": ["exe"]}"#).unwrap();
        let reason = refuse("x.exe", &settings.names).unwrap();
        assert_eq!(reason, "The extension .exe is not accepted");
    }
}
