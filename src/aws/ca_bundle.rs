//! The certificates of the authorities that every client trusts.

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::aws_profile::AwsFiles;
use crate::config::Cluster;
use crate::ui::Failure;

/// The file, and the variable or setting that names it.
fn file(cluster: &Cluster) -> Option<(String, String)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(path) = variable("AWS_CA_BUNDLE") {
        return Some((path, "AWS_CA_BUNDLE".to_owned()));
    }
    let profile = cluster.profile.clone().or_else(|| variable("AWS_PROFILE"));
    let profile = profile.unwrap_or_else(|| "default".to_owned());
    let path = AwsFiles::read().ca_bundle(&profile)?.to_owned();
    Some((path, format!("`ca_bundle` of the profile `{profile}`")))
}

/// The TLS settings of all clients of a cluster, where `AWS_CA_BUNDLE` or the profile's `ca_bundle`
/// names a file with certificates. As with the aws command, these replace the machine's own.
/// `None`: the machine's own are trusted.
///
/// # Errors
/// When the file cannot be read or has no certificate.
pub fn tls_context(cluster: &Cluster) -> Result<Option<TlsContext>, Failure> {
    if cluster.is_local {
        return Ok(None);
    }
    let Some((path, named_by)) = file(cluster) else { return Ok(None) };
    let hint = "the file has the certificates of authorities in PEM form, as the aws command takes it";
    let wrong = |why: &str| {
        Failure::usage(format!("reading the certificates in {path} ({named_by}): {why}")).hint(hint)
    };
    let bytes = std::fs::read(&path).map_err(|e| wrong(&e.to_string()))?;
    let pem = readable(&bytes);
    if pem.is_empty() {
        return Err(wrong("it has no certificate"));
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(store).build();
    context.map(Some).map_err(|e| wrong(&e.to_string()))
}

/// The certificates of a file that TLS can use, in PEM form. Others are left out, as those of the
/// machine are: the SDK panics on them.
fn readable(pem: &[u8]) -> Vec<u8> {
    let mut kept = String::new();
    for certificate in CertificateDer::pem_slice_iter(pem).filter_map(Result::ok) {
        if RootCertStore::empty().add(certificate.clone()).is_err() {
            continue;
        }
        kept.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = BASE64_STANDARD.encode(&certificate);
        for line in text.as_bytes().chunks(64) {
            kept.push_str(&String::from_utf8_lossy(line));
            kept.push('\n');
        }
        kept.push_str("-----END CERTIFICATE-----\n");
    }
    kept.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_left_out() {
        for text in [
            "",
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA",
        ] {
            assert!(readable(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
