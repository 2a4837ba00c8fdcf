//! The kit of a plugin's author, apart from the command line: making a project, making a component
//! of a module, and asking it without a server.

pub mod case;
pub mod componentize;
pub mod contract;
pub mod figures;
pub mod log;
pub mod project;
pub mod subject;
