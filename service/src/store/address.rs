//! Addresses of stores.

#[cfg(feature = "board")]
use std::time::Duration;
use std::{fs, path::PathBuf, sync::Arc};

use object_store::{local::LocalFileSystem, path::Path};

use super::{
    Store,
    error::{Error, Result},
};
use crate::parties::Home;

impl Store {
    /// The store with this address, which must not be a board's.
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn open(address: &str) -> Result<Self> {
        open(address, None)
    }

    /// The store with this address. A board is accessed with the TLS key of this home.
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn open_as(home: &Home, address: &str) -> Result<Self> {
        open(address, Some(home))
    }
}

/// The store with this address.
fn open(address: &str, home: Option<&Home>) -> Result<Store> {
    match address.split_once("://") {
        None => directory(address, address),
        Some(("file", path)) => directory(address, path),
        Some(("s3", rest)) => s3(address, rest),
        Some(("https", _)) => board(address, home),
        Some((scheme, _)) => Err(refused(address, format!("there are no stores of kind `{scheme}`"))),
    }
}

fn refused(address: &str, reason: impl Into<String>) -> Error {
    Error::Address { address: address.to_owned(), reason: reason.into() }
}

fn directory(address: &str, path: &str) -> Result<Store> {
    if path.is_empty() {
        return Err(refused(address, "a directory must be named"));
    }
    let path = PathBuf::from(path);
    fs::create_dir_all(&path).map_err(|error| refused(address, error.to_string()))?;
    let files =
        LocalFileSystem::new_with_prefix(&path).map_err(|error| refused(address, error.to_string()))?;
    // A write is acknowledged after file and directory are on the disk.
    Ok(Store::over(Arc::new(files.with_fsync(true)), Path::default(), address.to_owned()))
}

#[cfg(feature = "s3")]
fn s3(address: &str, rest: &str) -> Result<Store> {
    use object_store::aws::AmazonS3Builder;

    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(refused(address, "a bucket must be named: s3://bucket/prefix"));
    }
    // Only the first call has an effect. A provider that the program has installed before stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let objects = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
    let objects = objects.map_err(|error| refused(address, error.to_string()))?;
    let prefix = Path::parse(prefix).map_err(|error| refused(address, error.to_string()))?;
    Ok(Store::over(Arc::new(objects), prefix, address.to_owned()))
}

#[cfg(not(feature = "s3"))]
fn s3(address: &str, _: &str) -> Result<Store> {
    Err(refused(address, "this program was built without the feature `s3`"))
}

#[cfg(feature = "board")]
fn board(address: &str, home: Option<&Home>) -> Result<Store> {
    use super::board::Board;
    use crate::parties::tls;

    let home = home.ok_or_else(|| refused(address, "a board is asked with the keys of a home"))?;
    let text = |error: &dyn std::fmt::Display| refused(address, error.to_string());
    let mut base = reqwest::Url::parse(address).map_err(|error| text(&error))?;
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let consortium = home.consortium().map_err(|error| text(&error))?;
    let tls = tls::client(home, &consortium).map_err(|error| text(&error))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_secs(60))
        .build();
    let client = client.map_err(|error| text(&error))?;
    Ok(Store::over_board(Board::new(client, base), address.to_owned()))
}

#[cfg(not(feature = "board"))]
fn board(address: &str, _: Option<&Home>) -> Result<Store> {
    Err(refused(address, "this program was built without the feature `board`"))
}
