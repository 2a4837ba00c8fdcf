//! The service manager that has started the process, such as systemd: it is told how the server is
//! ([`Notifier`]), and may pass sockets that listen ([`Passed`]).

mod notifier;
mod passed;

pub use self::{
    notifier::{EXTEND, Notifier, name_of},
    passed::{Fitting, Passed},
};

/// All that is to be had of it.
#[derive(Default)]
pub struct Manager {
    /// Whom it is told.
    pub notifier: Notifier,
    /// The sockets that it has passed.
    pub passed: Passed,
}

impl Manager {
    /// Finds it by the environment; without one there is nothing of it. Has to be the first thing that
    /// the process does, before anything is opened.
    ///
    /// # Errors
    /// For people: that it cannot be told anything, or has passed what cannot be used.
    pub fn find() -> Result<Self, String> {
        // The first descriptors are those that were passed.
        let passed = Passed::take()?;
        Ok(Self {
            notifier: Notifier::connect()?,
            passed,
        })
    }
}
