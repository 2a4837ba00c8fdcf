//! `<Limit>`: rules about commands, and who may log in.

use toml_edit::Array;

use super::parse::{Node, Section};
use crate::cli::import::{
    draft::Draft,
    report::Report,
    rules::{self, Rule},
    source::{self, Directive},
    users::Users,
};

/// The users, groups and networks that one `<Limit>` is about.
#[derive(Default)]
struct Chosen {
    allow_all: bool,
    deny_all: bool,
    allowed_users: Vec<String>,
    denied_users: Vec<String>,
    allowed_groups: Vec<String>,
    denied_groups: Vec<String>,
    allowed_networks: Vec<String>,
    denied_networks: bool,
    /// `Order deny,allow`
    deny_first: bool,
}

/// Reads a `<Limit>` that is about these paths; no path is all of them.
pub fn limit(section: &Section, paths: &[String], depth: usize, limited: &mut Limited<'_>) {
    let login = |name: &String| name.eq_ignore_ascii_case("LOGIN");
    let chosen = chosen(section, limited.report);
    let (logins, commands): (Vec<_>, Vec<_>) =
        section.head.values.iter().partition(|name| login(name));
    if !logins.is_empty() {
        match paths.is_empty() {
            true => limited.logins.push((
                chosen.login(section),
                chosen.networks(section, limited.report),
            )),
            false => {
                let why = "who may log in is no matter of a directory";
                limited
                    .report
                    .lost(&section.head.place, "<Limit LOGIN>", why);
            }
        }
        if commands.is_empty() {
            return;
        }
    }
    let mut operations: Vec<&'static str> = Vec::new();
    for command in commands {
        match self::operations(&command.to_ascii_uppercase()) {
            [] => {
                let why = format!("{command} stands for no operation of the plugin \"rules\"");
                limited.report.lost(&section.head.place, "<Limit>", why);
            }
            found => operations.extend(found),
        }
    }
    operations.dedup();
    if operations.is_empty() {
        return;
    }
    if !chosen.allowed_networks.is_empty() || chosen.denied_networks {
        let why = "rules know no addresses; see addresses of a user";
        limited
            .report
            .lost(&section.head.place, "Allow and Deny", why);
    }
    let rule = |effect, users: &[String], groups: &[String]| Rule {
        effect,
        users: users.to_vec(),
        groups: groups.to_vec(),
        operations: operations.clone(),
        paths: paths.to_vec(),
        source: section.head.place.short(),
    };
    let somebody = |effect, users: &[String], groups: &[String]| {
        let users = (!users.is_empty()).then(|| rule(effect, users, &[]));
        let groups = (!groups.is_empty()).then(|| rule(effect, &[], groups));
        users.into_iter().chain(groups)
    };
    let allowed = somebody("allow", &chosen.allowed_users, &chosen.allowed_groups);
    let denied = somebody("deny", &chosen.denied_users, &chosen.denied_groups);
    let mut made: Vec<Rule> = match chosen.deny_first {
        true => denied.chain(allowed).collect(),
        false => allowed.chain(denied).collect(),
    };
    if chosen.deny_all {
        made.push(rule("deny", &[], &[]));
    } else if chosen.allow_all {
        made.push(rule("allow", &[], &[]));
    }
    limited
        .rules
        .extend(made.into_iter().map(|rule| (depth, rule)));
}

/// The results of all `<Limit>`s.
pub struct Limited<'a> {
    pub report: &'a mut Report,
    /// With the depth of the directory that each is about: the deepest decides.
    pub rules: Vec<(usize, Rule)>,
    pub logins: Vec<(Option<Login>, Option<Array>)>,
}

/// The users that may log in, or may not.
pub struct Login {
    users: Vec<String>,
    groups: Vec<String>,
    /// Those, or all but those.
    allowed: bool,
    source: String,
}

impl Login {
    fn keeps_out(&self, name: &str, groups: &[String]) -> bool {
        let named = self.users.iter().any(|user| user == name)
            || self.groups.iter().any(|group| groups.contains(group));
        named != self.allowed
    }
}

impl Limited<'_> {
    /// Applies them: to the users, and to the rules of the configuration.
    pub fn apply(self, draft: &mut Draft, users: &mut Users) {
        let mut rules = self.rules;
        rules.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        draft.rules.extend(rules.into_iter().map(|(_, rule)| rule));
        for user in users.iter_mut() {
            for (login, networks) in &self.logins {
                if let Some(login) = login
                    && login.keeps_out(&user.name, &user.groups)
                {
                    user.disabled = Some(format!("{} keeps it out", login.source));
                }
                if let Some(networks) = networks {
                    user.set("addresses", networks.clone());
                }
            }
        }
    }
}

impl Chosen {
    /// Whether users or groups are allowed by name.
    fn allows_some(&self) -> bool {
        !self.allowed_users.is_empty() || !self.allowed_groups.is_empty()
    }

    fn login(&self, section: &Section) -> Option<Login> {
        let source = section.head.place.short();
        if self.deny_all && (self.allowed_networks.is_empty() || self.allows_some()) {
            return Some(Login {
                users: self.allowed_users.clone(),
                groups: self.allowed_groups.clone(),
                allowed: true,
                source,
            });
        }
        let denied = !self.denied_users.is_empty() || !self.denied_groups.is_empty();
        denied.then(|| Login {
            users: self.denied_users.clone(),
            groups: self.denied_groups.clone(),
            allowed: false,
            source,
        })
    }

    fn networks(&self, section: &Section, report: &mut Report) -> Option<Array> {
        let all_denied = self.deny_all || self.denied_networks;
        if self.allowed_networks.is_empty() {
            if self.denied_networks {
                let why = "networks can only be allowed to users; see bans.deny-file";
                report.lost(&section.head.place, "Deny", why);
            }
            return None;
        }
        if !all_denied {
            let why = "without \"DenyAll\" it keeps nobody out";
            report.needless(&section.head.place, "Allow", why);
            return None;
        }
        if self.allows_some() {
            let text = "users and addresses are allowed there, and here they have to be both";
            report.note(&section.head.place, "<Limit LOGIN>", text);
        }
        Some(self.allowed_networks.iter().collect())
    }
}

fn chosen(section: &Section, report: &mut Report) -> Chosen {
    let mut chosen = Chosen::default();
    for node in &section.nodes {
        let directive = match node {
            Node::Directive(directive) => directive,
            Node::Section(inner) => {
                inner.lose("no section belongs there", report);
                continue;
            }
        };
        let Directive { place, name, .. } = directive;
        match name.to_ascii_lowercase().as_str() {
            "allowall" => chosen.allow_all = true,
            "denyall" => chosen.deny_all = true,
            "order" => {
                chosen.deny_first = directive.text().to_ascii_lowercase().starts_with("deny")
            }
            "allowuser" => chosen.allowed_users.extend(names(directive, report)),
            "denyuser" => chosen.denied_users.extend(names(directive, report)),
            "allowgroup" => chosen.allowed_groups.extend(names(directive, report)),
            "denygroup" => chosen.denied_groups.extend(names(directive, report)),
            "allow" => chosen.allowed_networks.extend(networks(directive, report)),
            "deny" => match directive
                .text()
                .to_ascii_lowercase()
                .trim_start_matches("from ")
            {
                "all" => chosen.deny_all = true,
                "none" => {}
                _ => chosen.denied_networks = true,
            },
            _ => report.lost(
                place,
                name,
                "<Limit> of other things than users, groups and addresses",
            ),
        }
    }
    chosen
}

/// The names of a user or group expression, if each of them alone is enough.
fn names(directive: &Directive, report: &mut Report) -> Vec<String> {
    let Directive {
        place,
        name,
        values,
    } = directive;
    let (kind, list) = match values.as_slice() {
        [kind, list @ ..]
            if matches!(kind.to_ascii_uppercase().as_str(), "AND" | "OR" | "REGEX") =>
        {
            (kind.to_ascii_uppercase(), list)
        }
        list => (String::new(), list),
    };
    let list = list.join(",");
    let names: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    // Of groups, a plain list means those who are in all of them.
    let all_of_them = name.to_ascii_lowercase().ends_with("group") && kind != "OR" || kind == "AND";
    let plain = names
        .iter()
        .all(|name| !name.starts_with('!') && !name.contains(['*', '?']));
    if kind == "REGEX" || !plain || all_of_them && names.len() > 1 {
        let why = "such an expression is none of ours; see the plugin \"rules\"";
        report.lost(place, name, why);
        return Vec::new();
    }
    names.into_iter().map(str::to_owned).collect()
}

/// The networks of `Allow from`.
fn networks(directive: &Directive, report: &mut Report) -> Vec<String> {
    let text = directive.values.join(",");
    let words = text.split(',').map(str::trim);
    let mut found = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "from" | "none" => {}
            "all" => found.extend(["0.0.0.0/0".to_owned(), "::/0".to_owned()]),
            _ => match source::network(word) {
                Some(network) => found.push(network),
                None => {
                    let why = format!("{word:?} is no network; names of hosts are not looked up");
                    report.lost(&directive.place, &directive.name, why);
                }
            },
        }
    }
    found
}

/// The operations of the plugin that a command, or a group of them, stands for.
fn operations(command: &str) -> &'static [&'static str] {
    match command {
        "ALL" => &["all"],
        "READ" | "RETR" => &["download"],
        "WRITE" => &["write"],
        "DIRS" | "LIST" | "NLST" | "MLSD" | "MLST" | "STAT" => &["list"],
        "STOR" => &["create", "overwrite"],
        "STOU" => &["create"],
        "APPE" => &["append"],
        "DELE" => &["delete"],
        "RNFR" => &["rename-from"],
        "RNTO" => &["rename-to"],
        "MKD" | "XMKD" => &["make-directory"],
        "RMD" | "XRMD" => &["remove-directory"],
        "SITE_CHMOD" | "MFMT" | "MFF" => &["change-metadata"],
        _ => &[],
    }
}

/// The patterns of `<Directory>`, and how deep it is; none where it is no path that users see.
pub fn directory(path: &str) -> Option<(Vec<String>, usize)> {
    let path = path.trim_end_matches("/*");
    match path.strip_prefix('~') {
        // Everywhere.
        None if path.is_empty() || path == "*" || path == "/" => Some((Vec::new(), 0)),
        Some("" | "/") => Some((Vec::new(), 1)),
        Some(below) if below.starts_with('/') && !below.contains(['*', '?', '[', '%']) => {
            Some((rules::tree(below), 1 + below.matches('/').count()))
        }
        _ => None,
    }
}

impl<'a> Limited<'a> {
    pub fn new(report: &'a mut Report) -> Self {
        Self {
            report,
            rules: Vec::new(),
            logins: Vec::new(),
        }
    }
}
