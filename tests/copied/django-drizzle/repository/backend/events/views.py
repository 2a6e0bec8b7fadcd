import json

from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from .models import Event, Venue


def healthz(request):
    return HttpResponse('ok')


@csrf_exempt
def events(request):
    if request.method == 'POST':
        data = json.loads(request.body)
        venue, _ = Venue.objects.get_or_create(name=data['venue'])
        event = Event.objects.create(title=data['title'], venue=venue)
        return JsonResponse({'id': event.id}, status=201)
    found = Event.objects.order_by('id').values('id', 'title', 'venue__name')
    return JsonResponse(list(found), safe=False)
