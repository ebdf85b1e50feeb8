//! The bytes of constants: in the flatbuffer, or behind it in files above 2 GiB.

use crate::diagnostic::{Code, Diagnostic};
use cranelite_schema as schema;
use cranelite_schema::flatbuffers::{ForwardsUOffset, Vector};

pub struct Buffers<'a> {
    file: &'a [u8],
    table: Option<Vector<'a, ForwardsUOffset<schema::Buffer<'a>>>>,
}

impl<'a> Buffers<'a> {
    pub fn new(file: &'a [u8], table: Option<Vector<'a, ForwardsUOffset<schema::Buffer<'a>>>>) -> Self {
        Buffers { file, table }
    }

    /// Bytes of a buffer; `None` when it has none, which is how tensors say that they are not constant.
    pub fn bytes(&self, index: u32) -> Result<Option<&'a [u8]>, Diagnostic> {
        let count = self.table.map_or(0, |t| t.len());
        let Some(table) = self.table.filter(|_| (index as usize) < count) else {
            return match index {
                0 => Ok(None),
                _ => Err(Diagnostic::new(Code::INDEX, format!("buffer {index} does not exist")).found(format!("{count} buffers"))),
            };
        };
        let buffer = table.get(index as usize);
        if let Some(data) = buffer.data().filter(|d| !d.is_empty()) {
            return Ok(Some(data.bytes()));
        }
        // 0 and 1 are what converters write before they know better.
        if buffer.offset() < 2 {
            return Ok(None);
        }
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.size()).ok());
        match range.and_then(|(offset, size)| self.file.get(offset..offset.checked_add(size)?)) {
            Some(bytes) => Ok(Some(bytes).filter(|b| !b.is_empty())),
            None => Err(Diagnostic::new(Code::DATA, format!("buffer {index} lies outside the file"))
                .expected(format!("a range within {} bytes", self.file.len()))
                .found(format!("{} bytes at {}", buffer.size(), buffer.offset()))),
        }
    }
}
