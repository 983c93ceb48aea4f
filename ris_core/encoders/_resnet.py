"""Feature-map masking inside a ResNet of `open_clip`, whose last stage is read by an attention pool.

Source: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023, Section 3.2.
The tower's public modules are used as they are.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor


class ResNetTower:
    """A ResNet as an image tower.

    Args:
        visual: The tower, in evaluation.
        unit_map: Whether each vector of the map is scaled to length 1 before it is masked, as [0] does.
        masked_query: Whether the pool asks with the mean of the masked map, as in [0], or of the whole one.

    Attributes:
        size_px: Side of the model's input.
        grid: Cells of the last stage per side, g.
    """

    def __init__(self, visual: ModifiedResNet, unit_map: bool = True, masked_query: bool = True) -> None:
        self.visual, self.unit_map, self.masked_query = visual, unit_map, masked_query
        self.size_px = visual.image_size
        self.grid = visual.image_size // 32

    def plain(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b e"]:
        """CLIP's own features, not normalised."""
        features: Float[Tensor, "b e"] = self.visual(images)
        return features

    def early(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b cells width"]:
        """The last stage's cells: what all masks of an image share."""
        visual, values = self.visual, images
        for stage in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            values = stage(values)
        cells = values.flatten(2).transpose(1, 2)
        return F.normalize(cells, dim=-1) if self.unit_map else cells

    def mask_map(self, shared: Float[Tensor, "1 cells width"], share: Float[Tensor, "b cells"]) -> Float[Tensor, "b e"]:
        """[0] Eq. 1: the map times the mask, pooled; not normalised.

        Args:
            shared: `early` of the whole image.
            share: Each mask on the cells, in [0, 1].
        """
        cells = shared * share[:, :, None]
        mean = (cells if self.masked_query else shared).mean(1, keepdim=True)
        return self._pool(torch.cat([mean.expand(len(share), -1, -1), cells], dim=1))

    def _pool(self, tokens: Float[Tensor, "b n width"]) -> Float[Tensor, "b e"]:
        """The attention pool, of which only the first token is read."""
        pool = self.visual.attnpool
        tokens = tokens + pool.positional_embedding
        query, key, value = (
            projection(part).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            for projection, part in ((pool.q_proj, tokens[:, :1]), (pool.k_proj, tokens), (pool.v_proj, tokens))
        )
        features: Float[Tensor, "b e"] = pool.c_proj(
            F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        )[:, 0]
        return features
