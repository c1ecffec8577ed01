//! The service at the level of its users: homes, a store, and the command `cipherfold`.

/// Processes of the command `cipherfold`: called, killed, scheduled, and cut off from each other.
mod processes {
    mod command_line;
    mod kills;
    mod namespaces;
    mod schedulers;
}

/// The work of the parties of a round.
mod rounds {
    mod audits;
    mod complete;
    mod key_holder;
    mod refusals;
    mod workers;
}

/// Rounds over every kind of store, and over stores that fail.
mod stores {
    #[cfg(feature = "board")]
    mod board;
    #[cfg(feature = "s3")]
    mod buckets;
    mod disks;
    mod faults;
}

mod support;
