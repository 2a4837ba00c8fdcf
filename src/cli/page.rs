//! Parts of long lists.

use clap::Args;
use serde::Serialize;

use super::control::escaped;
use crate::server::admin::messages::Page;

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

    /// This part of a list that no server has, and how many entries there are of which it is one.
    pub fn of<T: Serialize>(&self, all: Vec<T>) -> (Vec<T>, usize) {
        let page = Page {
            filter: self.filter.clone(),
            offset: self.offset,
            limit: self.limit,
        };
        page.of(all)
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
