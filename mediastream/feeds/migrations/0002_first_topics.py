"""The topics there are from the first: a simulated market, and what goes on here."""

from django.db import migrations


def add(apps, _editor):
    topics = apps.get_model("feeds", "Topic").objects
    market = {"visibility": "public", "policy": "conflate", "key_field": "symbol", "source": "simulator", "rate": 20}
    topics.get_or_create(name="market", defaults=market)
    topics.get_or_create(name="activity", defaults={"visibility": "public", "history": 200})


class Migration(migrations.Migration):
    dependencies = [("feeds", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
