//! Parts of long lists.

use clap::Args;

use super::{control::escaped, output};

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

    /// Says what of the list was shown, unless it was all of it.
    pub fn tell(&self, shown: usize, matching: usize, total: usize) {
        if shown < total {
            let first = self.offset.unwrap_or(0) + usize::from(shown > 0);
            let last = self.offset.unwrap_or(0) + shown;
            output::print(&format!(
                "{first} to {last} of {matching}, {total} in all\n"
            ));
        }
    }
}
