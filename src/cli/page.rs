//! Parts of long lists.

use clap::Args;

use super::control::escaped;

/// The part of a list that is shown.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The part that is shown")]
pub struct PageOptions {
    /// Only entries that have this text in one of their fields
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// At most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Pass over so many entries
    #[arg(long, value_name = "N")]
    offset: Option<usize>,
}

impl PageOptions {
    /// As parameters of a request.
    pub fn query(&self) -> String {
        let parameters = [
            ("filter", self.filter.as_deref().map(escaped)),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("offset", self.offset.map(|offset| offset.to_string())),
        ];
        let given = parameters
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
        match given.collect::<Vec<_>>() {
            given if given.is_empty() => String::new(),
            given => format!("?{}", given.join("&")),
        }
    }

    /// That part of a list that is here; `has` says whether an entry has a text, which is in small
    /// letters. With it, how many there are of which it is one.
    pub fn of<T>(&self, all: Vec<T>, has: impl Fn(&T, &str) -> bool) -> (Vec<T>, usize) {
        let wanted = self.filter.as_deref().map(str::to_lowercase);
        let fits = |one: &T| wanted.as_deref().is_none_or(|wanted| has(one, wanted));
        let matching: Vec<T> = all.into_iter().filter(fits).collect();
        let count = matching.len();
        let part = matching.into_iter().skip(self.offset.unwrap_or(0));
        (part.take(self.limit.unwrap_or(usize::MAX)).collect(), count)
    }

    /// A line about the part that was shown, unless it was all.
    pub fn told(&self, shown: usize, matching: usize, total: usize) -> String {
        if shown >= total {
            return String::new();
        }
        let first = self.offset.unwrap_or(0) + usize::from(shown > 0);
        let last = self.offset.unwrap_or(0) + shown;
        format!("{first} to {last} of {matching}, {total} in all\n")
    }
}
