//! What the author of a plugin needs, apart from the command line: making a project, and a component of a
//! module.

pub mod componentize;
pub mod contract;
pub mod project;
