"""The papers that a study's methods come from, cited by author and year, listed once."""

from __future__ import annotations

import re

PAPERS = {
    "study": "Zhao & Chen 2025, Data efficiency and transfer robustness in biomedical image segmentation: a study of "
    "redundancy and forgetting with Cellpose, arXiv:2511.04803",
    "quantization": "Zhou et al. 2023, Dataset quantization, IEEE/CVF International Conference on Computer Vision",
    "kcenter": "Sener & Savarese 2018, Active learning for convolutional neural networks: a core-set approach, "
    "International Conference on Learning Representations",
    "herding": "Welling 2009, Herding dynamical weights to learn, International Conference on Machine Learning",
    "icarl": "Rebuffi et al. 2017, iCaRL: incremental classifier and representation learning, IEEE Conference on Computer "
    "Vision and Pattern Recognition",
    "typicality": "Hacohen, Dekel & Weinshall 2022, Active learning on a budget: opposite strategies suit high and low "
    "budgets, International Conference on Machine Learning",
    "uncertainty": "Settles 2009, Active learning literature survey, University of Wisconsin-Madison, Computer Sciences Technical "
    "Report 1648",
    "l2sp": "Li, Grandvalet & Davoine 2018, Explicit inductive bias for transfer learning with convolutional networks, "
    "International Conference on Machine Learning",
    "ewc": "Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, Proceedings of the National "
    "Academy of Sciences 114",
    "lwf": "Li & Hoiem 2017, Learning without forgetting, IEEE Transactions on Pattern Analysis and Machine Intelligence 40",
    "interpolation": "Wortsman et al. 2022, Robust fine-tuning of zero-shot models, IEEE/CVF Conference on Computer Vision and "
    "Pattern Recognition",
    "transfer": "Lopez-Paz & Ranzato 2017, Gradient episodic memory for continual learning, Advances in Neural Information "
    "Processing Systems 30",
    "mae": "He et al. 2022, Masked autoencoders are scalable vision learners, IEEE/CVF Conference on Computer Vision and "
    "Pattern Recognition",
    "cellpose": "Stringer, Wang, Michaelos & Pachitariu 2021, Cellpose: a generalist algorithm for cellular segmentation, "
    "Nature Methods 18",
    "ucell": "Kuang et al. 2026, UCell: rethinking generalizability and scaling of bio-medical vision models, arXiv:2604.00243",
    "lora": "Hu et al. 2022, LoRA: low-rank adaptation of large language models, International Conference on Learning "
    "Representations",
    "adamw": "Loshchilov & Hutter 2019, Decoupled weight decay regularization, International Conference on Learning "
    "Representations",
    "nnunet": "Isensee et al. 2021, nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation, Nature Methods 18",
    "xtinyunet": "Kimbowa et al. 2026, XTinyU-Net: training-free U-Net scaling via initialization-time sensitivity, "
    "arXiv:2605.09639",
    "tinyunet": "Chen et al. 2024, TinyU-Net: lighter yet better U-Net with cascaded multi-receptive fields, Medical Image "
    "Computing and Computer Assisted Intervention",
    "unext": "Valanarasu & Patel 2022, UNeXt: MLP-based rapid medical image segmentation network, Medical Image Computing "
    "and Computer Assisted Intervention",
    "cmunext": "Tang et al. 2024, CMUNeXt: an efficient medical image segmentation network based on large kernel and skip "
    "fusion, IEEE International Symposium on Biomedical Imaging",
    "fieller": "Fieller 1954, Some problems in interval estimation, Journal of the Royal Statistical Society B 16",
    "equivalence": "Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach for assessing the "
    "equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15",
    "panoptic": "Kirillov et al. 2019, Panoptic segmentation, IEEE/CVF Conference on Computer Vision and Pattern Recognition",
}


class References:
    """Collects what a text cites."""

    def __init__(self) -> None:
        self._cited: set[str] = set()

    def cite(self, *keys: str) -> str:
        """Authors and years of papers of `PAPERS`, in brackets."""
        return self._cite([PAPERS[key] for key in keys])

    def cite_dataset(self, citation: str) -> str:
        """Authors and years of a dataset's citation, in brackets; several papers stand with semicolons between them."""
        return self._cite([" ".join(paper.split()) for paper in citation.split(";")])

    def listed(self) -> list[str]:
        """What was cited, in alphabetical order."""
        return sorted(self._cited)

    def _cite(self, papers: list[str]) -> str:
        self._cited.update(papers)
        # "Kumar et al. 2020, A multi-organ ..." is cited as "Kumar et al. 2020".
        years = [re.match(r".*?\b\d{4}\b", paper) for paper in papers]
        return "(" + "; ".join(year[0] if year else paper for year, paper in zip(years, papers, strict=True)) + ")"
