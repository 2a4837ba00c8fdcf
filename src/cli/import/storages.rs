//! The places of homes: roots of storages, and paths in them.
//!
//! Other servers know homes as paths of the machine, and ours as paths within a storage. Homes that lie
//! beneath the same directory of the file system's root share a storage, whose root is the deepest
//! directory above all of them.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::{
    draft::Draft,
    report::{Place, Report},
    users::Users,
};

/// Gives homes their storages, and the draft its roots.
pub fn place(draft: &mut Draft, users: &mut Users, report: &mut Report) {
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let guests = draft.anonymous.iter();
    let guests = guests.map(|guests| (&guests.home, &guests.place, "anonymous"));
    let homes = users.iter().filter_map(|user| {
        let home = user.home.as_ref()?;
        Some((home, &user.place, user.name.as_str()))
    });
    let mut refused: Vec<(Place, String, String)> = Vec::new();
    for (home, place, name) in homes.chain(guests) {
        match top(home) {
            Ok(top) => groups.entry(top).or_default().push(home.clone()),
            Err(why) => refused.push((place.clone(), name.to_owned(), why)),
        }
    }
    for (place, name, why) in refused {
        report.lost(&place, &format!("the home of {name}"), why);
    }
    let mut groups: Vec<Vec<PathBuf>> = groups.into_values().collect();
    // The one with most of the homes needs no name in the users file.
    groups.sort_by_key(|homes| std::cmp::Reverse(homes.len()));
    let mut roots: Vec<(String, PathBuf)> = Vec::new();
    for homes in &groups {
        let root = root(homes);
        let name = match roots.is_empty() {
            true => "default".to_owned(),
            false => name(&root, &roots),
        };
        roots.push((name, root));
    }
    let find = |home: &Path| {
        let (index, (name, root)) = roots
            .iter()
            .enumerate()
            .find(|(_, (_, root))| home.starts_with(root))?;
        let below = home.strip_prefix(root).ok()?.display();
        Some(((index > 0).then(|| name.clone()), format!("/{below}")))
    };
    for user in users.iter_mut() {
        if user.home.is_none() {
            let text = "no source says the home; it is one of its own in storage.default.root";
            report.note(&user.place, &user.name, text);
        }
        user.placed = user.home.as_deref().and_then(find);
    }
    if let Some(guests) = &mut draft.anonymous {
        match find(&guests.home) {
            Some(placed) => guests.placed = placed,
            None => draft.anonymous = None,
        }
    }
    draft.roots = roots;
}

/// The first directory of a home, or why it cannot be one.
fn top(home: &Path) -> Result<String, String> {
    let mut names = Vec::new();
    for component in home.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => names.push(name.to_str().unwrap_or_default()),
            _ => return Err(format!("{home:?} is no plain path; set home by hand")),
        }
    }
    let plain = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    match names.first() {
        _ if !names.iter().all(|name| plain(name)) => {
            Err(format!("{home:?} is no plain path; set home by hand"))
        }
        Some(first) if home.is_absolute() => Ok((*first).to_owned()),
        _ => Err(format!(
            "{home:?} is the whole file system, which no user sees here; set home by hand"
        )),
    }
}

/// The deepest directory above all of these homes, which is none of them unless it has to be.
fn root(homes: &[PathBuf]) -> PathBuf {
    let mut homes = homes.iter();
    let first = homes.next().cloned().unwrap_or_default();
    let above = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("/") => parent.to_owned(),
        _ => path.to_owned(),
    };
    let mut common = above(&first);
    for home in homes {
        let home = above(home);
        while !home.starts_with(&common) {
            let Some(parent) = common.parent() else { break };
            common = parent.to_owned();
        }
    }
    common
}

/// A name for a storage that none of the others has.
fn name(root: &Path, others: &[(String, PathBuf)]) -> String {
    let text = root.display().to_string();
    let plain = text
        .trim_matches('/')
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let plain = match plain.trim_matches('-') {
        "" | "default" => "storage",
        plain => plain,
    };
    let taken = |name: &str| others.iter().any(|(other, _)| other == name);
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let mut names = std::iter::once(plain.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or_default()
}
