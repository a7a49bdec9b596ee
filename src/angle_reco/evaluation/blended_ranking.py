"""prototype"""
import attrs, numpy as np
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import from_micros
from angle_reco.domain.scoring.blended import tastes, titles
from angle_reco.domain.scoring.blended.curves import log2_steps
from angle_reco.domain.scoring.blended.model import KnownItems, kinds_of
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.adapters.kernels import training
from angle_reco.evaluation.rankings import Past, Point

WEIGHTS = dict(taste=22, follow=11, alike=9, trend14=11, trend7=7, heat=10, new=3, category=8, title=6, price=6, seller=5, urgency=2)

@attrs.define(kw_only=True)
class BlendedRanking:
    evidence: object
    name: str = "blended"
    weights: dict = attrs.field(factory=lambda: WEIGHTS)
    grid: tuple[Point, ...] = ({},)
    hook: object = None

    def ranked(self, past, users, *, point, keep):
        cat = past.catalogue
        touches = past.touches
        n = len(past.item_ids)
        # attributes by item code
        category = np.full(n, NONE, np.int32); seller = np.full(n, NONE, np.int32); price = np.full(n, -1, np.int64)
        category[past.open_items] = cat.category; seller[past.open_items]=cat.seller; price[past.open_items]=cat.prices
        closed = np.setdiff1d(np.unique(touches.items), past.open_items)
        cats = cat.categories; sellers = cat.sellers
        extra_c = {}; extra_s = {}
        if len(closed):
            ids = past.item_ids.ids.take(closed).to_list()
            cards = self.evidence.catalog.cards(ids, at=from_micros(past.now), until=from_micros(past.now))
            ccodes = {c: k for k, c in enumerate(cats.ids.to_list())}
            scodes = {c: k for k, c in enumerate(sellers.ids.to_list())}
            for code, one in zip(closed.tolist(), ids):
                card = cards.get(one)
                if card is None: continue
                if card.category_id is not None:
                    category[code] = ccodes.setdefault(card.category_id, len(ccodes))
                if card.seller_id is not None:
                    seller[code] = scodes.setdefault(card.seller_id, len(scodes))
                if card.price is not None:
                    price[code] = self.evidence.settings.prices.to_units(card.price, "price")
        keys = kinds_of(category, price)
        distinct = np.unique(keys[keys != NONE])
        kind = np.where(keys != NONE, np.searchsorted(distinct, keys), NONE).astype(np.int32)
        logp = np.where(price > 0, log2_steps(np.maximum(price, 1)), NONE).astype(np.int32)
        items = KnownItems(ids=past.item_ids, category=category, seller=seller, kind=kind, log_price=logp)
        model = training.trained(items, len(distinct), touches.users, touches.items, touches.moments, users_count=len(past.user_ids), now=past.now)
        s = Signals(model=model, catalogue=cat, item=past.open_items, kind=kind[past.open_items], category=cat.category, seller=cat.seller, log_price=logp[past.open_items], now=past.now)
        known_ids = past.item_ids.ids.to_list()
        cards = self.evidence.catalog.cards(known_ids, at=from_micros(past.now), until=from_micros(past.now))
        texts = [cards[one].title if one in cards else "" for one in known_ids]
        off, buc = titles.hashed(texts)
        rar = titles.rarity(off, buc)
        trows = titles.title_rows(off, buc, rar)
        open_off, open_buc = titles.hashed([texts[k] for k in past.open_items])
        orows = titles.title_rows(open_off, open_buc, rar)
        fans = tastes.Fans.of(model.histories, len(items))
        hk = training.of_kinds(model.histories, kind)
        fk = tastes.Fans.of(hk, len(distinct))
        w = {k: v * 10000 for k, v in self.weights.items()}
        def part(v, k): return (2 * w[k] * v + ONE) // (2 * ONE)
        static = part(s.trend_of_weeks,"trend14")+part(s.trend_of_days,"trend7")+part(s.heat,"heat")+part(s.newness,"new")+part(s.urgency,"urgency")
        out = np.full((len(users), keep), NONE, np.int32)
        places, rows = past.left_out(users)
        bounds = np.searchsorted(places, np.arange(len(users)+1))
        for k, user in enumerate(users.tolist()):
            it, la = model.histories.of(user)
            t = tastes.Touched(items=it, last_at=la, user=user)
            phi = dict(taste=tastes.taste(s,t), follow=tastes.follow(s,t), alike=tastes.alike(s,t,fans,fk,hk), category=tastes.category_lift(s,t), price=tastes.price(s,t), seller=tastes.seller(s,t), title=tastes.title(trows, orows, t))
            score = static.copy()
            for name, v in phi.items(): score += part(v, name)
            if self.hook: self.hook(past, user, phi, s)
            score[rows[bounds[k]:bounds[k+1]]] = -1
            order = np.lexsort((np.arange(len(score)), -score))[:keep]
            order = order[score[order] >= 0]
            out[k,:len(order)] = order
        return out
