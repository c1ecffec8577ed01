//! Who may know what: placements, channels, secure sums.
