//! Redaction: the stage behind the parser and before anything that keeps or shows a value. On by default.
//!
//! Takes a parsed head, gives the values of a row, borrowed from the head where nothing is secret and from the
//! redactor's memory where something was. Names and schemes stay, secrets become keyed tokens: equal for equal secrets.
//! Invariant: a secret at a place the policy names leaves this stage in no value and no raw form, however malformed
//! its line is.

mod address;
mod class;
mod columns;
mod detect;
mod explain;
pub mod key;
mod lines;
mod long_value;
mod path;
pub mod policy;
mod recall;
mod recycle;
mod scout;
mod sensitive;
mod spans;
#[cfg(test)]
mod tests;
mod token;
mod trace;

use std::net::IpAddr;

use storage::{
    field::Field,
    values::{FieldLine, RequestValues, ResponseValues},
};

use self::{
    columns::Column,
    lines::LineRedactor,
    recycle::{LineTable, NameTable},
};
pub use self::{
    explain::{Explained, Explanation},
    key::{Key, KeyError},
    policy::{Action, Policy, PolicyError, Prefixes},
    recall::RECALL_BYTES_MAX,
    token::TOKEN_BYTES,
};
use crate::http::{
    Fields, Method, RequestHead, ResponseHead,
    target::{self, Form, Target},
};

/// Turns parsed heads into redacted values, one after the other, with reusable memory.
pub struct Redactor {
    lines: LineRedactor,
    host: Column,
    template: Column,
    transfer_encoding: Column,
    field_table: LineTable,
    name_table: NameTable,
}

impl Redactor {
    /// A redactor under `policy`, whose tokens are keyed by `key`.
    pub fn new(policy: Policy, key: Key) -> Redactor {
        Redactor {
            lines: LineRedactor::new(policy, key),
            host: Column::default(),
            template: Column::default(),
            transfer_encoding: Column::default(),
            field_table: LineTable::default(),
            name_table: NameTable::default(),
        }
    }

    /// Another redactor under the same policy and key, for another thread.
    #[must_use]
    pub fn twin(&self) -> Redactor {
        Redactor::new(self.lines.policy().clone(), self.lines.tokenizer().key().clone())
    }

    /// What the files' metadata call policy and key (`redaction_policy`): `off`, `default-2 key=AbCd`, or
    /// `default-2 policy=LABEL hash=HEX key=AbCd`.
    pub fn policy_name(&self) -> String {
        self.lines.policy_name()
    }

    /// Where the policy cuts addresses of clients, what is left of this one; names that are made of the whole address
    /// must then be left out, or keyed (`pseudonym`).
    pub fn client(&self, address: IpAddr) -> Option<IpAddr> {
        self.lines.policy().client(address)
    }

    /// A number that stands for another, equal for equal ones under one key, and no way back.
    pub fn pseudonym(&self, number: u64) -> u64 {
        self.lines.tokenizer().pseudonym(number)
    }

    /// The values of a request, redacted.
    pub fn request<'a>(&'a mut self, head: &RequestHead<'a>) -> RequestValues<'a> {
        let (fields, names) = (self.field_table.lend(), self.name_table.lend());
        self.lines.begin(&head.fields);
        let target = self.lines.target(head);
        let method_raw = self.lines.method(head.method_raw);
        self.lines.lines(&head.fields, head.complete, fields, names);
        let lines = &self.lines;
        lines.patch(fields);
        let target_raw = lines.resolve(head.target, target);
        let parts = Target::of(target_raw, head.method);
        let host_field = value_of(&head.fields, fields, Field::Host);
        let host =
            if parts.form == Form::Absolute { parts.authority } else { host_field.or(parts.authority) };
        RequestValues {
            method: head.method.name(),
            method_raw: lines.resolve(head.method_raw, method_raw),
            target_raw,
            host: self.host.lower_case(host, lines.tokenizer()),
            path: parts.path,
            query: parts.query,
            path_template: self.template.template(parts.path, lines.tokenizer()),
            version: head.version,
            head_bytes: count(head.bytes.len()),
            header_count: count(head.fields.count() as usize),
            content_length: head.content_length,
            transfer_encoding: self.transfer_encoding.joined(fields, Field::TransferEncoding),
            authorization_scheme: scheme(&head.fields),
            trace_id: value_of(&head.fields, fields, Field::Traceparent).and_then(target::trace_id),
            cookie_names: names,
            is_connect: head.method == Method::Connect,
            header_order_hash: head.header_order_hash,
            fields,
            flags: head.flags.with(lines.flags()),
        }
    }

    /// The values of a response, redacted; `info_status` are the 1xx responses before it.
    pub fn response<'a>(&'a mut self, head: &ResponseHead<'a>, info_status: &'a [i32]) -> ResponseValues<'a> {
        let (fields, names) = (self.field_table.lend(), self.name_table.lend());
        self.lines.begin(&head.fields);
        let reason = head.reason.and_then(|reason| self.lines.reason(reason, !head.start_line_complete));
        self.lines.lines(&head.fields, head.complete, fields, names);
        let lines = &self.lines;
        lines.patch(fields);
        let upgrade = value_of(&head.fields, fields, Field::Upgrade);
        ResponseValues {
            version: head.version,
            status: head.status,
            reason: head.reason.map(|wire| lines.resolve(wire, reason)),
            info_status,
            head_bytes: count(head.bytes.len()),
            header_count: count(head.fields.count() as usize),
            content_length: head.content_length,
            transfer_encoding: self.transfer_encoding.joined(fields, Field::TransferEncoding),
            upgrade_protocol: upgrade.filter(|_| head.status == Some(101)),
            set_cookie_names: names,
            fields,
            flags: head.flags.with(lines.flags()),
        }
    }
}

/// The redacted value of the field's first whole line.
fn value_of<'a>(head: &Fields<'_>, table: &[FieldLine<'a>], field: Field) -> Option<&'a [u8]> {
    Some(table[head.first_index(field)?].value)
}

/// The scheme of Authorization, where it is a known one.
fn scheme<'a>(fields: &Fields<'a>) -> Option<&'a [u8]> {
    let value = fields.first(Field::Authorization)?;
    Some(&value[..detect::scheme_len(value)?])
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
