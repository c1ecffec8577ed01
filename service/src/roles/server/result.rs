//! The result of a round, written piece by piece.

use std::collections::BTreeMap;

use cipherfold::{
    federated::{round::DecodedPiece, tensor::Tensor},
    files::{Output, UpdateFile, Writer},
};

use crate::{
    error::Result,
    objects::{Error, RoundKey},
    round::OpenRound,
};

/// A safetensors file that has no name until it is complete.
pub(super) struct ResultFile<'r> {
    round: &'r OpenRound,
    writer: Writer,
    /// The place of each secure sum's first tensor among all tensors.
    starts: Vec<usize>,
    /// Tensors that were begun.
    begun: usize,
}

impl<'r> ResultFile<'r> {
    pub(super) fn create(
        output: &Output,
        model: &UpdateFile,
        round: &'r OpenRound,
        participants: usize,
    ) -> Result<Self> {
        let metadata = BTreeMap::from([
            ("cipherfold.session".to_owned(), round.session().id().to_string()),
            ("cipherfold.round".to_owned(), round.number().to_string()),
            ("cipherfold.participants".to_owned(), participants.to_string()),
        ]);
        let mut next = 0;
        let starts = round.spec().sums().iter().map(|sum| {
            let start = next;
            next += sum.tensors().iter().count();
            start
        });
        let starts = starts.collect();
        Ok(Self { round, writer: output.create(model.tensors(), &metadata)?, starts, begun: 0 })
    }

    /// Writes the next pieces. Messages of a round have their tensors in the order of the file.
    pub(super) fn write(&mut self, pieces: &[DecodedPiece]) -> Result<()> {
        for DecodedPiece { piece, values, .. } in pieces {
            let place = self.starts[piece.sum] + piece.tensor;
            while self.begun <= place {
                self.writer.next_tensor()?;
                self.begun += 1;
            }
            match values {
                Tensor::F32(values) => self.writer.write_floats(values.as_slice().expect(CONTIGUOUS))?,
                Tensor::F64(values) => self.writer.write_floats(values.as_slice().expect(CONTIGUOUS))?,
                other => {
                    let key = self.round.key(RoundKey::Open);
                    let reason = format!("declares a tensor of type {}", other.tensor_type());
                    return Err(Error::Contents { key, reason }.into());
                }
            }
        }
        Ok(())
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<()> {
        Ok(self.writer.finish()?)
    }
}

const CONTIGUOUS: &str = "one dimension is contiguous";
