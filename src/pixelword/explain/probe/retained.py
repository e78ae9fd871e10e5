"""How much of what the image contributes is in by which depth, and the centre of mass of fusion."""

from __future__ import annotations

from pixelword.explain.probe import published
from pixelword.explain.probe.knockout import text_to_image
from pixelword.explain.probe.questions import Questions, bands
from pixelword.explain.probe.types import Bar, Curve, Finding, ratio


def retained(questions: Questions) -> Finding:
    """Retained information by depth, and the fusion centre of mass.

    Definition: s_l = likelihood of the right answer (geometric mean of its tokens) when text reads images in the first
    l layers alone; s_L is the plain pass, s_0 has nothing of the image. retained(l) = sum(s_l - s_0) / sum(s_L - s_0)
    over questions, and needed(l) likewise with text reading images in all layers but the first l. Centre of mass
    c = sum over l of (l + 1/2) / L * (s_{l+1} - s_l), divided by (s_L - s_0); with bands, their middles.
    Source: knock-out windows (Geva et al., 2023, arXiv 2304.14767); the centre of mass as the mean depth of the gains.

    Control: answers by chance, l = 0.
    """
    layers = questions.layers
    edges = [band.start for band in [*bands(0, questions.before, 4), *bands(questions.before, layers, 12)]] + [layers]
    plain = [score.likelihood for score in questions.plain]

    def likelihoods(name: str, cut_layers: range) -> list[float]:
        if not cut_layers:
            return plain
        return [score.likelihood for score in questions.scores(name, text_to_image(cut_layers))]

    first = [likelihoods(f"retained: first {edge}", range(edge, layers)) for edge in edges]
    last = [likelihoods(f"retained: all but the first {edge}", range(edge)) for edge in edges[:-1]] + [first[0]]
    none = first[0]
    gain = [s - s0 for s, s0 in zip(plain, none, strict=True)]
    curves = tuple(
        Curve(name, tuple(edges), tuple(ratio([s - s0 for s, s0 in zip(own, none, strict=True)], gain) for own in runs))
        for name, runs in (("text reads images in the first l layers", first), ("in all but the first l", last))
    )
    moments = [
        sum(
            (a + b) / 2 / layers * (after[number] - before[number])
            for a, b, before, after in zip(edges, edges[1:], first, first[1:], strict=False)
        )
        for number in range(len(questions))
    ]
    reverse = [
        sum(
            (a + b) / 2 / layers * (before[number] - after[number])
            for a, b, before, after in zip(edges, edges[1:], last, last[1:], strict=False)
        )
        for number in range(len(questions))
    ]
    pre_buffer = [s - s0 for s, s0 in zip(first[edges.index(questions.before)], none, strict=True)]
    return Finding(
        "retained",
        "Retained information by depth, and the fusion centre of mass",
        "retained(l) = sum(s_l - s_0) / sum(s_L - s_0); c = sum_l (l + 1/2)/L (s_{l+1} - s_l) / (s_L - s_0)",
        "windows of attention knock-out (arXiv 2304.14767); mean depth of the gains",
        len(questions), "share of the image's contribution",
        (
            Bar("fusion centre of mass, from below", ratio(moments, gain)),
            Bar("fusion centre of mass, from above", ratio(reverse, gain)),
            Bar("retained by the pre-buffer alone", ratio(pre_buffer, gain)),
        ),
        curves, "layers l", published=published.CENTRE,
        notes=(
            "From below: text reads images in more and more of the first layers. From above: in fewer and fewer of the "
            "last ones. Where several layers can do the same reading, the two differ, and the truth is between them.",
            "The published centres may be defined otherwise; compare their order of magnitude.",
        ),
    )  # fmt: skip
