//! A connection to the collector: its name, TCP, TLS.

use super::{client::all_headers, resolve::Resolver, settings::Settings, tls::Tls};
use anyhow::{Context as _, Result, anyhow};
use rustls::pki_types::ServerName;
use std::{fmt, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// What requests go over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A collector, and all that has to be read before the agent confines itself.
#[derive(Debug)]
pub struct Target {
    /// Where and how.
    pub settings: Settings,
    tls: Option<(Tls, ServerName<'static>)>,
}

impl Target {
    /// Reads what there is to read. Connects to nobody.
    ///
    /// # Errors
    /// A file is missing or no good.
    pub fn open(settings: Settings) -> Result<Self> {
        let endpoint = &settings.endpoint;
        all_headers(&settings)?;
        let tls = if endpoint.tls {
            let name = ServerName::try_from(endpoint.host.clone());
            let name = name.with_context(|| format!("no certificate can be for {}", endpoint.host))?;
            Some((Tls::open(&settings)?, name))
        } else {
            None
        };
        Ok(Self { settings, tls })
    }
}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    resolver: Resolver,
    tls: Option<(Tls, ServerName<'static>)>,
    /// For all addresses together.
    patience: Duration,
}

impl Connector {
    /// Connects to nobody yet, and the settings.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(super) fn new(Target { settings, tls }: Target) -> Result<(Self, Settings)> {
        let resolver = Resolver::new(&settings.endpoint.host, settings.endpoint.port)?;
        Ok((Self { resolver, tls, patience: settings.timeout / 2 }, settings))
    }

    /// Connects.
    ///
    /// # Errors
    /// Why not, for the last of its addresses.
    pub(super) async fn connect(&mut self) -> Result<Box<dyn Stream>> {
        let addresses = self.resolver.addresses().await?;
        let each = self.patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = anyhow!("no address");
        for address in addresses {
            match timeout(each, self.connect_to(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = anyhow!("no connection to {address} in {} s", each.as_secs_f64()),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Box<dyn Stream>> {
        let said = |what: &dyn fmt::Display| format!("{what} {address}");
        let stream = TcpStream::connect(address).await.with_context(|| said(&"cannot connect to"))?;
        // One write a request.
        let _ = stream.set_nodelay(true);
        let Some((tls, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let connector = TlsConnector::from(tls.config()?);
        let stream = connector.connect(name.clone(), stream).await;
        Ok(Box::new(stream.with_context(|| said(&"no TLS with"))?))
    }
}
