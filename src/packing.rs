//! Many small values in one plaintext.
