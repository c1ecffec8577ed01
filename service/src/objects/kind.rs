//! Kinds of control objects.

/// The kind of a control object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A session's keys and terms.
    Session = 1,
    /// A declared round.
    Open = 2,
    /// A client's commitment.
    Commit = 3,
    /// The end of a round.
    End = 4,
    /// All sums are there.
    Done = 5,
    /// The result was saved.
    Saved = 6,
    /// A worker's result for a commitment.
    Checked = 7,
    /// The digests of a worker's sums.
    Folded = 8,
    /// Contributions and sums were removed.
    Removed = 9,
    /// The masked sums, for the key holder.
    Asked = 10,
    /// The decrypted masked sums.
    Answered = 11,
}
