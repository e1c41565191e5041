//! The proxy between this machine and AWS.
//!
//! The SDK's own HTTPS client would take a proxy from the environment, for loopback and for the
//! metadata services that give credentials, too. The client here takes one for `https://` alone,
//! and never for this machine.

use std::fmt;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::ca_bundle;
use crate::config::Cluster;
use crate::config::proxy_url::{check, is_none, with_scheme};
use crate::ui::Failure;

/// The variable in small letters has precedence, as in curl and Python.
const VARIABLES: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// A proxy, and the setting or variable that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    url: String,
    named_by: String,
}

impl Proxy {
    /// The proxy of a cluster, from its settings or else from the environment.
    pub fn of(cluster: &Cluster) -> Option<Self> {
        if cluster.is_local {
            return None;
        }
        let own = cluster.proxy.as_deref().filter(|url| !is_none(url));
        let own = own.map(|url| Self {
            url: with_scheme(url),
            named_by: format!("`proxy` of the cluster `{}`", cluster.name),
        });
        own.or_else(|| {
            let (name, url) = first(VARIABLES).filter(|(_, url)| !is_none(url))?;
            Some(Self { url: with_scheme(&url), named_by: name.to_owned() })
        })
    }

    fn config(&self) -> Result<ProxyConfig, Failure> {
        let wrong = |why: &dyn fmt::Display| Failure::usage(format!("{} {why}", self.named_by));
        check(&self.url).map_err(|why| wrong(&why))?;
        let exceptions = first(EXCEPTIONS).map(|(_, list)| list).unwrap_or_default();
        let config = ProxyConfig::https(self.url.as_str()).map_err(|e| wrong(&e))?;
        Ok(config.no_proxy(format!("{LOOPBACK},{exceptions}")))
    }
}

/// The HTTP client for a cluster. `https://` goes through its proxy, except for the hosts in
/// `NO_PROXY` and this machine.
///
/// # Errors
/// When the URL of the proxy is invalid, or the file of trusted certificates cannot be used.
pub fn client(cluster: &Cluster) -> Result<SharedHttpClient, Failure> {
    let config = Proxy::of(cluster).map_or(Ok(ProxyConfig::disabled()), |proxy| proxy.config())?;
    let trusted = ca_bundle::tls_context(cluster)?;
    let plain = Builder::new().build_http();
    let tls = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .proxy_config(config.clone())
            .tls_provider(Provider::Rustls(CryptoMode::Ring));
        if let Some(trusted) = &trusted {
            connector = connector.tls_context(trusted.clone());
        }
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
        connector.build()
    });
    Ok(http_client_fn(move |settings, components| {
        SharedHttpConnector::new(ByScheme {
            plain: plain.clone(),
            tls: tls.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }))
}

/// Uses the client for `https://` only on demand: with its first connector it reads the machine's
/// root certificates, some hundred files. Both clients cache their connectors.
#[derive(Debug)]
struct ByScheme {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = if request.uri().starts_with("http://") { &self.plain } else { &self.tls };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}

impl fmt::Display for Proxy {
    /// The URL is shown without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        write!(f, "{scheme}://{host} ({})", self.named_by)
    }
}

fn first(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| Some((name, std::env::var(name).ok().filter(|v| !v.is_empty())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let proxy = Proxy { url: "http://me:secret@p:8080".into(), named_by: "HTTPS_PROXY".into() };
        assert_eq!(proxy.to_string(), "http://p:8080 (HTTPS_PROXY)");
    }
}
