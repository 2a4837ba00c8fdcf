//! What a client may want to do, and sets of it.

/// One operation; an upload is one of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Operation {
    See,
    List,
    Download,
    Create,
    Overwrite,
    Append,
    Delete,
    RenameFrom,
    RenameTo,
    MakeDirectory,
    RemoveDirectory,
    ChangeMetadata,
}

impl Operation {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::See,
        Self::List,
        Self::Download,
        Self::Create,
        Self::Overwrite,
        Self::Append,
        Self::Delete,
        Self::RenameFrom,
        Self::RenameTo,
        Self::MakeDirectory,
        Self::RemoveDirectory,
        Self::ChangeMetadata,
    ];
}

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u16);

impl Operations {
    /// Every operation.
    pub const ALL: Self = Self(u16::MAX);
    /// No operation.
    pub const NONE: Self = Self(0);

    /// What an operator calls a set: an operation's own name, or that of several.
    pub fn named(name: &str) -> Option<Self> {
        use Operation::*;
        Some(match name {
            "see" => Self::of(&[See]),
            "list" => Self::of(&[List]),
            "download" => Self::of(&[Download]),
            "create" => Self::of(&[Create]),
            "overwrite" => Self::of(&[Overwrite]),
            "append" => Self::of(&[Append]),
            "delete" => Self::of(&[Delete]),
            "rename-from" => Self::of(&[RenameFrom]),
            "rename-to" => Self::of(&[RenameTo]),
            "make-directory" => Self::of(&[MakeDirectory]),
            "remove-directory" => Self::of(&[RemoveDirectory]),
            "change-metadata" => Self::of(&[ChangeMetadata]),
            "upload" => Self::of(&[Create, Overwrite, Append]),
            "rename" => Self::of(&[RenameFrom, RenameTo]),
            "read" => Self::of(&[See, List, Download]),
            "write" => Self(!Self::of(&[See, List, Download]).0),
            "all" => Self::ALL,
            _ => return None,
        })
    }

    /// Both sets.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the operation is in the set.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u16 != 0
    }

    fn of(operations: &[Operation]) -> Self {
        let bit = |operation: &Operation| 1 << *operation as u16;
        Self(operations.iter().map(bit).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_what_they_say() {
        let count = |name| {
            let set = Operations::named(name).unwrap();
            Operation::ALL
                .iter()
                .filter(|one| set.contains(**one))
                .count()
        };
        assert_eq!((count("read"), count("write"), count("all")), (3, 9, 12));
        assert_eq!((count("upload"), count("rename"), count("see")), (3, 2, 1));
        assert_eq!(Operations::named("reed"), None);
        assert!(!Operations::named("write").unwrap().contains(Operation::See));
    }
}
