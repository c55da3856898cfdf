//! What is used of OTLP (`opentelemetry.proto.*.v1`, opentelemetry-proto), and what gRPC's errors carry (`google.rpc`).
//!
//! Field numbers never change there. The tests decode what we encode with the types that OpenTelemetry generates.

use prost::{Message, Oneof};

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportRequest {
    /// By where they are from.
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

/// Records of one resource.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    /// Where they are from.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// By who made them.
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

/// Where records are from.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// By the semantic conventions.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Records of one instrumentation scope.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    /// Who made them.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// The records.
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
}

/// `InstrumentationScope`.
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A record.
#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    /// When it happened, nanoseconds since 1970; 0: not known.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// `SeverityNumber`.
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    /// Its name.
    #[prost(string, tag = "3")]
    pub severity_text: String,
    /// A sentence.
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    /// All the rest.
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    /// When it was seen, nanoseconds since 1970.
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
    /// What kind of event.
    #[prost(string, tag = "12")]
    pub event_name: String,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// One of these.
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    pub value: Option<Value>,
}

/// What values can be here.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// Text.
    #[prost(string, tag = "1")]
    Text(String),
    /// Yes or no.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A number.
    #[prost(int64, tag = "3")]
    Int(i64),
}

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// What of it was not taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// How many.
    #[prost(int64, tag = "1")]
    pub rejected_log_records: i64,
    /// Why, or a warning.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `google.rpc.Status`: why not.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// What it is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// It.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    /// Not before.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Delay {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// And nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> Self {
        Self { value: Some(Value::Text(text)) }
    }
}

impl From<bool> for AnyValue {
    fn from(yes: bool) -> Self {
        Self { value: Some(Value::Bool(yes)) }
    }
}

impl From<i64> for AnyValue {
    fn from(number: i64) -> Self {
        Self { value: Some(Value::Int(number)) }
    }
}

/// There are no unsigned ones: beyond what fits is its largest.
impl From<u64> for AnyValue {
    fn from(number: u64) -> Self {
        i64::try_from(number).unwrap_or(i64::MAX).into()
    }
}
