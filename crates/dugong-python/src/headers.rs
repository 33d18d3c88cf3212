//! Header sections: makes those of requests, in the order of statement 8.8, and shows those of responses to Python.

use std::borrow::Cow;

use dugong_http::Fields;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyMapping, PySet, PyString, PyTuple, PyType};

use crate::errors::misuse;

/// A field that `send_request` generates.
pub(crate) struct Generated<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: Cow<'a, str>,
    /// Whether a value of the caller is used instead.
    pub(crate) caller_wins: bool,
}

/// The fields of a request: `Host`, the caller's, and the generated ones. A generated field replaces the caller's in its place.
///
/// `block` is all generated fields together, if they were made before.
pub(crate) fn request_fields(
    host: Option<&str>,
    given: Option<&Bound<'_, PyAny>>,
    generated: &[Generated<'_>],
    block: Option<&Fields>,
) -> PyResult<Fields> {
    let mut fields = Fields::new();
    let append = |fields: &mut Fields, name: &str, value: &str| fields.append(name, value).map_err(misuse);
    if let Some(host) = host {
        append(&mut fields, "Host", host)?;
    }
    let mut placed = 0u32;
    if let Some(given) = given {
        for_each_pair(given, |name, value| {
            let name = latin1(name)?;
            let value = latin1(value)?;
            let value = trim_blanks(&value);
            let ours = generated.iter().position(|field| name.eq_ignore_ascii_case(field.name.as_bytes()));
            // Fields that are left out or replaced have to be valid, too.
            if ours.is_some() || name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"content-length") {
                Fields::new().append(&name, value).map_err(misuse)?;
            }
            if name.eq_ignore_ascii_case(b"host") {
                return Ok(());
            }
            if name.eq_ignore_ascii_case(b"content-length") && generated.iter().any(|field| field.name == "Transfer-Encoding") {
                return Ok(()); // a body in chunks has none
            }
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                return Err(PyValueError::new_err("Transfer-Encoding is set by the kind of the body, not by a header"));
            }
            match ours {
                Some(index) if !generated[index].caller_wins => {
                    if placed & (1 << index) == 0 {
                        append(&mut fields, generated[index].name, &generated[index].value)?;
                    }
                }
                _ => fields.append(&name, value).map_err(misuse)?,
            }
            if let Some(index) = ours {
                placed |= 1 << index;
            }
            Ok(())
        })?;
    }
    if let Some(block) = block.filter(|_| placed == 0) {
        fields.append_all(block);
        return Ok(fields);
    }
    for (index, field) in generated.iter().enumerate() {
        if placed & (1 << index) == 0 {
            append(&mut fields, field.name, &field.value)?;
        }
    }
    Ok(fields)
}

/// The generated fields of a request without a body.
pub(crate) const WITHOUT_BODY: [Generated<'static>; 3] = [
    Generated { name: "Content-Length", value: Cow::Borrowed("0"), caller_wins: false },
    Generated { name: "Accept-Encoding", value: Cow::Borrowed("identity"), caller_wins: false },
    Generated { name: "Connection", value: Cow::Borrowed("keep-alive"), caller_wins: true },
];

/// The fields of a trailer section.
pub(crate) fn trailer_fields(given: &Bound<'_, PyAny>) -> PyResult<Fields> {
    let mut fields = Fields::new();
    for_each_pair(given, |name, value| fields.append(latin1(name)?, trim_blanks(&latin1(value)?)).map_err(misuse))?;
    Ok(fields)
}

/// Calls `take` with each name and value of a mapping, or of an iterable of pairs. It applies `str` to values.
pub(crate) fn for_each_pair<'py>(
    given: &Bound<'py, PyAny>,
    mut take: impl FnMut(&Bound<'py, PyString>, &Bound<'py, PyString>) -> PyResult<()>,
) -> PyResult<()> {
    let mut take_pair = |name: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>| {
        let Ok(name) = name.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!("header names must be str, not {}", name.get_type().name()?)));
        };
        // A subclass of `str` may have its own `__str__`.
        match value.cast_exact::<PyString>() {
            Ok(value) => take(name, value),
            Err(_) if shows_only_itself(value) => {
                let kind = value.get_type().name()?;
                Err(PyTypeError::new_err(format!("the value of header {} has to be a str or a number, not {kind}", name.repr()?)))
            }
            Err(_) => take(name, &value.str()?),
        }
    };
    if let Some(pairs) = pairs_of_dict(given)? {
        for pair in pairs {
            let pair = pair.cast_into::<PyTuple>()?;
            take_pair(&pair.get_item(0)?, &pair.get_item(1)?)?;
        }
        return Ok(());
    }
    // Asking a list or a tuple for an attribute that it does not have costs an exception.
    let is_sequence = given.is_exact_instance_of::<PyList>() || given.is_exact_instance_of::<PyTuple>();
    let items = if is_sequence { None } else { given.getattr_opt(intern!(given.py(), "items"))? };
    let pairs = match items {
        Some(items) => items.call0()?,
        None => given.clone(),
    };
    for pair in pairs.try_iter()? {
        let parts: Vec<Bound<'_, PyAny>> = pair?.try_iter()?.collect::<PyResult<_>>()?;
        let [name, value] = &parts[..] else {
            return Err(PyValueError::new_err("headers must be a mapping or an iterable of pairs"));
        };
        take_pair(name, value)?;
    }
    Ok(())
}

/// Whether `str` would give Python syntax, such as `b'…'` for bytes, which no program means to send.
fn shows_only_itself(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
        || value.cast::<PyMapping>().is_ok()
        || PyUntypedBuffer::get(value).is_ok()
}

/// The pairs of the usual kinds of mappings. This runs no Python code.
fn pairs_of_dict<'py>(given: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyList>>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    if let Ok(dict) = given.cast_exact::<PyDict>() {
        return Ok(Some(dict.items()));
    }
    let py = given.py();
    if given.get_type().is(CLASS.import(py, "dugong", "CaseInsensitiveDict")?) {
        let items = given.getattr(intern!(py, "_items"))?;
        return Ok(Some(items.cast_into::<PyDict>()?.values()));
    }
    Ok(None)
}

/// Text that is ASCII.
pub(crate) fn ascii<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a str> {
    text.to_str().ok().filter(|text| text.is_ascii())
}

/// Text as it is sent.
pub(crate) fn latin1<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    if let Some(ascii) = ascii(text) {
        return Ok(Cow::Borrowed(ascii.as_bytes()));
    }
    let bytes = text.call_method1(intern!(text.py(), "encode"), (intern!(text.py(), "latin-1"),))?;
    Ok(Cow::Owned(bytes.extract()?))
}

/// A value without the white space around it.
pub(crate) fn trim_blanks(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The field lines of a header or trailer section, as an iterable over pairs of name and value.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct Lines {
    fields: Fields,
    /// Shows `Connection: close` in place of the server's `Connection`.
    closing: bool,
}

#[pymethods]
impl Lines {
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.pairs(py)?.try_iter()?.into_any())
    }
}

impl Lines {
    pub(crate) fn new(fields: &Fields, closing: bool) -> Self {
        Lines { fields: fields.clone(), closing }
    }

    /// The lines as pairs of name and value.
    pub(crate) fn pairs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for line in self.fields.iter() {
            if !self.closing || !line.name().eq_ignore_ascii_case("connection") {
                list.append((line.name(), line.value_text()))?;
            }
        }
        if self.closing {
            list.append(("Connection", "close"))?;
        }
        Ok(list)
    }
}
