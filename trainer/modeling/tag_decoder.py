"""Which tag may follow which, learned together with the tags themselves: a linear-chain conditional random field.

The likelihood of a text's tags is that of the whole sequence among all sequences in which I follows B or I of its own
label (Lafferty et al. 2001), so what is learned is what `best` looks for. Positions that bear no tag (special tokens,
white space) are passed over: their neighbors are neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.data.span_tags import may_follow
from trainer.modeling.encoders import IGNORED

SPEED = 10.0  # transitions are few and start at zero: they learn at so many times the rate of the encoder
NEVER = -1e4


class TagDecoder(nn.Module):
    """Scores of each tag after each other tag.

    Args:
        tags: names, O first, then B- and I- of each label; C of them.
        follows: learned scores, C x C, row before, column after; zeros if not given.

    Attributes:
        tags: their names.
        weight: (C, C), the scores divided by SPEED.
    """

    def __init__(self, tags: Sequence[str], follows: Sequence[Sequence[float]] | None = None) -> None:
        super().__init__()
        self.tags = list(tags)
        start = torch.zeros(len(tags), len(tags)) if follows is None else torch.tensor(follows)
        self.weight = nn.Parameter(start / SPEED)
        forbidden = torch.zeros(len(tags), len(tags))
        for row, before in enumerate(tags):
            for column, tag in enumerate(tags):
                if not may_follow(before, tag):
                    forbidden[row, column] = NEVER
        self.register_buffer("forbidden", forbidden, persistent=False)
        self.register_buffer("inside", torch.tensor([tag.startswith("I-") for tag in tags]), persistent=False)

    def follows(self) -> Tensor:
        """Scores (C, C) of the row's tag followed by the column's, NEVER or less where that cannot be."""
        scores: Tensor = SPEED * self.weight + self.forbidden  # type: ignore[operator]
        return scores

    def learned(self) -> list[list[float]]:
        """What `follows` is to be given to make the same chain again."""
        kept: list[list[float]] = (SPEED * self.weight).detach().cpu().tolist()
        return kept

    def nats(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Negative log-likelihood of the sequences of tags, summed over the batch, nats.

        Args:
            logits: (B, T, C). labels: (B, T), IGNORED where a position bears no tag.
        """
        count = (labels != IGNORED).sum(1)
        width = max(1, int(count.max()))
        order = torch.argsort((labels == IGNORED).int(), dim=1, stable=True)[:, :width]  # those with a tag first
        scores = logits.float().gather(1, order.unsqueeze(-1).expand(-1, -1, logits.size(-1)))  # (B, W, C)
        truth = labels.gather(1, order).clamp(min=0)
        is_tagged = torch.arange(width, device=labels.device) < count.unsqueeze(1)
        follows = self.follows()
        own = scores.gather(2, truth.unsqueeze(-1)).squeeze(-1)
        steps = torch.cat([torch.zeros_like(own[:, :1]), follows[truth[:, :-1], truth[:, 1:]]], dim=1)
        observed = ((own + steps) * is_tagged).sum(1)
        total = self.totals(scores, is_tagged, follows)
        return ((total - observed) * (count > 0)).sum()

    @staticmethod
    def totals(scores: Tensor, is_tagged: Tensor, follows: Tensor) -> Tensor:
        """Log of the sum over all sequences of the exponential of their scores, (B,). scores: (B, W, C)."""
        total = scores[:, 0]
        for place in range(1, scores.size(1)):
            further = torch.logsumexp(total.unsqueeze(2) + follows, dim=1) + scores[:, place]
            total = torch.where(is_tagged[:, place : place + 1], further, total)
        return torch.logsumexp(total, dim=1)

    @torch.no_grad()
    def decode(self, logits: Tensor, places: Sequence[int]) -> list[int]:
        """The likeliest sequence of tags, O wherever a position bears none; a text does not begin inside a label.

        Args:
            logits: (T, C), on the CPU. places: positions that bear a tag, rising.
        """
        chosen = [0] * len(logits)
        if not places:
            return chosen
        follows = self.follows().cpu()
        total = logits[places[0]] + self.inside.cpu() * NEVER  # type: ignore[operator]
        back = []
        for place in places[1:]:
            value, came = (total.unsqueeze(1) + follows).max(0)
            total = value + logits[place]
            back.append(came.tolist())
        tag = int(total.argmax())
        chosen[places[-1]] = tag
        for place, came in zip(reversed(places[:-1]), reversed(back), strict=True):
            tag = came[tag]
            chosen[place] = tag
        return chosen

    def marginals(self, logits: Tensor, places: Sequence[int]) -> Tensor:
        """Probability of each tag at each position over all sequences, (T, C); zeros where a position bears none.

        Args:
            logits: (T, C), on the CPU. places: positions that bear a tag, rising.
        """
        given = logits.detach().float().requires_grad_(True)
        if not places:
            return torch.zeros_like(given)
        with torch.enable_grad():
            scores = given[list(places)].unsqueeze(0)
            is_tagged = torch.ones(1, len(places), dtype=torch.bool)
            total = self.totals(scores, is_tagged, self.follows().detach().cpu())
            # The derivative of the log of the sum by a score is the share of the sequences that have it.
            [shares] = torch.autograd.grad(total.sum(), given)
        return shares
