"""Documents of a packed batch: their groups, segments, order and rotary positions, written out."""

from __future__ import annotations

import torch

from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.rotary import rotary_table


def packed() -> Documents:
    """Two rows: one of documents 4 and 7, one of document 7 alone."""
    document_BL = torch.tensor([[4, 4, 7, 7, 7], [7, 7, 7, 7, 7]])
    position_BL = torch.tensor([[0, 1, 0, 1, 2], [3, 4, 5, 6, 7]])
    return Documents(document_BL=document_BL, position_BL=position_BL)


def test_groups_number_the_documents_of_rows() -> None:
    group_BL = packed().group_BL
    names = [(row, int(d)) for row, documents in enumerate(packed().document_BL) for d in documents]
    for i, group in enumerate(group_BL.flatten().tolist()):
        for j, other in enumerate(group_BL.flatten().tolist()):
            assert (group == other) == (names[i] == names[j])
    assert group_BL.min() >= 0


def test_plain_rows_are_one_document_each_from_position_0() -> None:
    plain = Documents.plain(torch.zeros(2, 4, dtype=torch.int64))
    assert plain.document_BL.tolist() == [[0] * 4] * 2
    assert plain.position_BL.tolist() == [[0, 1, 2, 3]] * 2
    assert plain.group_BL.tolist() == [[0] * 4, [1] * 4]
    assert plain.single_document
    assert not packed().single_document


def test_segments_of_different_groups_do_not_meet() -> None:
    documents, num_buckets = packed(), 6
    segments = {
        (group, int(first) + bucket)
        for group, first in zip(documents.group_BL.flatten(), documents.segments(num_buckets).flatten(), strict=True)
        for bucket in range(num_buckets)
        for group in [int(group)]
    }
    assert len({segment for _, segment in segments}) == len(segments) == 3 * num_buckets


def test_in_order_keeps_positions_and_marks_where_documents_begin() -> None:
    order = packed().in_order()
    assert order.order_N.tolist() == list(range(10))
    assert order.begins().nonzero().flatten().tolist() == [0, 2, 5]


def test_rotary_positions_are_those_of_the_documents() -> None:
    documents = packed()
    cosine, sine = documents.rotary(8)
    expected = rotary_table(documents.position_BL, 8)
    assert torch.equal(cosine.squeeze(2), expected[0])
    assert torch.equal(sine.squeeze(2), expected[1])
    assert documents.rotary(8)[0] is cosine, "all layers share one table"
