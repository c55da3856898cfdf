//! An API server that has what the agent asks for: TLS, tokens, pods by list and watch, Events.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::{
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread::JoinHandle,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;

pub(crate) const NODE: &str = "node-7";
const PODS: &str = "/api/v1/pods";

/// What the server has and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) token: String,
    pods: Vec<Value>,
    version: u64,
    /// Watches from before this version are too old.
    oldest: u64,
    /// `list`, `watch`, `events`: answered with 403.
    pub(crate) forbidden: HashSet<&'static str>,
    /// Open watches. Dropped: they break off.
    watches: Vec<mpsc::UnboundedSender<Bytes>>,
    pub(crate) most_watches: usize,
    /// Method and path of all requests.
    pub(crate) requests: Vec<(Method, String)>,
    pub(crate) events: Vec<Value>,
    pub(crate) reviews: usize,
}

/// Ends with the test.
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    dir: PathBuf,
    config: Arc<ServerConfig>,
    port: u16,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    pub(crate) fn start(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kube-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory");
        let mut ca = CertificateParams::new([]).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
        let own = own.signed_by(&key, &ca).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .expect("they fit");
        fs::write(dir.join("ca.crt"), ca.pem()).expect("a file");
        let state = State { token: "one".into(), version: 100, ..State::default() };
        let (state, config) = (Arc::new(Mutex::new(state)), Arc::new(config));
        let mut server = Self { state, dir, config, port: 0, running: None };
        server.write_token("one");
        server.run();
        let kubeconfig = json!({
            "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}", server.port), "certificate-authority": "ca.crt" } }],
            "users": [{ "name": "u", "user": { "tokenFile": "token" } }],
        });
        fs::write(server.dir.join("kubeconfig"), kubeconfig.to_string()).expect("a file");
        server
    }

    pub(crate) fn kubeconfig(&self) -> String {
        self.dir.join("kubeconfig").display().to_string()
    }

    /// As the kubelet does it: another file in the place of the old one.
    pub(crate) fn write_token(&self, token: &str) {
        fs::write(self.dir.join("token.new"), token).expect("a file");
        fs::rename(self.dir.join("token.new"), self.dir.join("token")).expect("the same directory");
    }

    /// On the same port as before.
    pub(crate) fn run(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", self.port))).expect("a port");
        self.port = listener.local_addr().expect("an address").port();
        let (end, ended) = oneshot::channel();
        let (state, acceptor) = (Arc::clone(&self.state), TlsAcceptor::from(Arc::clone(&self.config)));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, acceptor, state) => {}
                    _ = ended => {}
                }
            });
        });
        self.running = Some((end, thread));
    }

    pub(crate) fn stop(&mut self) {
        if let Some((end, thread)) = self.running.take() {
            let _ = end.send(());
            thread.join().expect("it ends");
        }
        self.state().watches.clear();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl State {
    /// A pod is there, or has changed.
    pub(crate) fn put(&mut self, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = self.version.to_string().into();
        let uid = pod["metadata"]["uid"].clone();
        let at = self.pods.iter().position(|it| it["metadata"]["uid"] == uid);
        let kind = if at.is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(kind, &pod);
        match at {
            Some(at) => self.pods[at] = pod,
            None => self.pods.push(pod),
        }
    }

    pub(crate) fn delete(&mut self, uid: &str) {
        self.version += 1;
        let Some(at) = self.pods.iter().position(|it| it["metadata"]["uid"] == uid) else { return };
        let mut pod = self.pods.remove(at);
        pod["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell("DELETED", &pod);
    }

    fn tell(&mut self, kind: &str, object: &Value) {
        let line = json!({ "type": kind, "object": object }).to_string() + "\n";
        // In two pieces, as a network may deliver it.
        let (head, rest) = line.split_at(line.len() / 2);
        for part in [head, rest] {
            self.watches.retain(|watch| watch.send(Bytes::copy_from_slice(part.as_bytes())).is_ok());
        }
    }

    /// All watches break off. What has changed until now is forgotten, if `forget`.
    pub(crate) fn break_off(&mut self, forget: bool) {
        self.watches.clear();
        if forget {
            self.version += 1000;
            self.oldest = self.version;
        }
    }

    pub(crate) fn count(&self, wanted: &str) -> usize {
        self.requests.iter().filter(|(_, path)| path.contains(wanted)).count()
    }

    fn answer(&mut self, request: &Request<Incoming>, body: &Value) -> Response<Parts> {
        let path = request.uri().path_and_query().expect("a path").as_str().to_owned();
        self.requests.push((request.method().clone(), path.clone()));
        let bearer = request.headers().get("authorization").and_then(|it| it.to_str().ok());
        if bearer != Some(&format!("Bearer {}", self.token)) {
            return status(401, "Unauthorized");
        }
        if path.contains("selfsubjectaccessreviews") {
            self.reviews += 1;
            return whole(201, &json!({ "status": { "allowed": !self.forbidden.contains("events") } }));
        }
        if path.starts_with("/apis/events.k8s.io/v1/namespaces/") {
            return self.event(request.method(), &path, body);
        }
        if !path.starts_with(PODS) || !path.contains(&format!("fieldSelector=spec.nodeName%3D{NODE}")) {
            return status(404, "the server could not find the requested resource");
        }
        let kind = if path.contains("watch=true") { "watch" } else { "list" };
        if self.forbidden.contains(kind) {
            return status(
                403,
                "pods is forbidden: User \"system:serviceaccount:x:y\" cannot list resource \"pods\"",
            );
        }
        if kind == "list" {
            let list = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": self.version.to_string() },
                "items": self.pods });
            return whole(200, &list);
        }
        let from = path.split("resourceVersion=").nth(1).expect("a version").split('&').next();
        let from: u64 = from.expect("a version").parse().expect("a number");
        let (sender, receiver) = mpsc::unbounded_channel();
        if from < self.oldest {
            let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired",
                "message": format!("too old resource version: {from} ({})", self.oldest) } });
            let _ = sender.send((gone.to_string() + "\n").into());
            return Response::new(Parts::Stream(receiver));
        }
        // What came since: additions are enough here.
        for pod in &self.pods {
            let version = pod["metadata"]["resourceVersion"].as_str().and_then(|it| it.parse::<u64>().ok());
            if version > Some(from) {
                let line = json!({ "type": "ADDED", "object": pod }).to_string() + "\n";
                let _ = sender.send(line.into());
            }
        }
        let bookmark = json!({ "type": "BOOKMARK", "object": { "kind": "Pod", "apiVersion": "v1",
            "metadata": { "resourceVersion": self.version.to_string(), "creationTimestamp": null },
            "spec": { "containers": null }, "status": {} } });
        let _ = sender.send((bookmark.to_string() + "\n").into());
        self.watches.retain(|watch| !watch.is_closed());
        self.watches.push(sender);
        self.most_watches = self.most_watches.max(self.watches.len());
        Response::new(Parts::Stream(receiver))
    }

    fn event(&mut self, method: &Method, path: &str, body: &Value) -> Response<Parts> {
        if self.forbidden.contains("events") {
            return status(
                403,
                "events.events.k8s.io is forbidden: User \"x\" cannot create resource \"events\"",
            );
        }
        let name = |event: &Value| event["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if method == Method::POST {
            if self.events.iter().any(|it| name(it) == name(body)) {
                return status(409, "already exists");
            }
            self.events.push(body.clone());
            return whole(201, body);
        }
        let wanted = path.rsplit('/').next().expect("a name");
        let Some(event) = self.events.iter_mut().find(|it| name(it) == wanted) else {
            return status(404, "not found");
        };
        event["series"] = body["series"].clone();
        whole(200, event)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let state = Arc::clone(&state);
                async move {
                    let (head, mut body) = request.into_parts();
                    let mut bytes = Vec::new();
                    while let Some(frame) =
                        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
                    {
                        bytes.extend_from_slice(&frame?.into_data().unwrap_or_default());
                    }
                    let json = serde_json::from_slice(&bytes).unwrap_or_default();
                    let request = Request::from_parts(head, body);
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    Ok::<_, hyper::Error>(state.answer(&request, &json))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A body that is there, or that comes by and by.
enum Parts {
    Whole(Option<Bytes>),
    Stream(mpsc::UnboundedReceiver<Bytes>),
}

impl Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(parts) => {
                parts.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
            }
        }
    }
}

fn whole(code: u16, body: &Value) -> Response<Parts> {
    let mut response = Response::new(Parts::Whole(Some(body.to_string().into())));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn status(code: u16, message: &str) -> Response<Parts> {
    whole(
        code,
        &json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code }),
    )
}
