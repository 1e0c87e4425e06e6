//! The strings of a batch as Arrow arrays: moved out of it, once for all the row groups it becomes.

use std::sync::Arc;

use arrow_array::StringArray;
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use crate::{
    batch::{Batch, CONNECTION_TEXTS, REQUEST_TEXTS, RESPONSE_TEXTS, side::LineList, strings::Strings},
    schema::Source,
};

/// The values of a column by code.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) values: Arc<StringArray>,
    /// Equal values share a code.
    pub(crate) is_coded: bool,
}

/// The strings of all columns.
#[derive(Debug)]
pub(crate) struct Texts {
    connections: [Text; CONNECTION_TEXTS],
    pub(crate) requests: [Text; REQUEST_TEXTS],
    responses: [Text; RESPONSE_TEXTS],
    pub(crate) set_cookies: Arc<StringArray>,
    pub(crate) cookie_names: Arc<StringArray>,
    pub(crate) set_cookie_names: Arc<StringArray>,
    pub(crate) request_others: [Arc<StringArray>; 2],
    pub(crate) response_others: [Arc<StringArray>; 2],
}

impl Texts {
    /// Takes the strings out of `batch`, which keeps its rows, its records and their codes.
    pub(crate) fn take(batch: &mut Batch) -> Texts {
        Texts {
            connections: batch.connections.texts.each_mut().map(Text::take),
            requests: batch.requests.texts.each_mut().map(Text::take),
            responses: batch.responses.texts.each_mut().map(Text::take),
            set_cookies: values_of(&mut batch.set_cookies.strings),
            cookie_names: values_of(&mut batch.cookie_names.strings),
            set_cookie_names: values_of(&mut batch.set_cookie_names.strings),
            request_others: names_and_values(&mut batch.request_others),
            response_others: names_and_values(&mut batch.response_others),
        }
    }

    /// The strings that a column has codes of, where they are not the same for all batches.
    pub(crate) fn of(&self, source: Source) -> Option<&Text> {
        match source {
            Source::Connection(text) => Some(&self.connections[text as usize]),
            Source::Request(text) => Some(&self.requests[text as usize]),
            Source::Response(text) => Some(&self.responses[text as usize]),
            Source::Word(_)
            | Source::Sensor
            | Source::Time
            | Source::Int(_)
            | Source::Long(_)
            | Source::Truth(_)
            | Source::List(_) => None,
        }
    }
}

impl Text {
    fn take(strings: &mut Strings) -> Text {
        Text { is_coded: strings.is_coded(), values: values_of(strings) }
    }
}

fn names_and_values(lines: &mut LineList) -> [Arc<StringArray>; 2] {
    [values_of(&mut lines.names), values_of(&mut lines.values)]
}

/// Every value of a column, by code.
fn values_of(strings: &mut Strings) -> Arc<StringArray> {
    let (bytes, ends) = strings.take_parts();
    let offsets = std::iter::once(0).chain(ends.iter().map(|end| end.cast_signed()));
    let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(offsets));
    let values = StringArray::try_new(offsets, Buffer::from_vec(bytes), None);
    Arc::new(values.expect("stored forms are UTF-8, one behind the other"))
}
